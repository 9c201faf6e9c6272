// Plans as tilewise-measure reads them:
//
//   plan batch=1 arena_bytes=8192
//   tensor height=16 width=16 channels=3 stride=4 offset=0 dtype=float32 step=1 factor=1 low=0 high=255
//   ...
//   import_nchw name=input y=0
//   direct name=conv x=0 y=1 residual=none act_low=0 act_high=inf stride=1,1 padding=1,1 ...
//   array of=weight dtype=float32 shape=16,3,3,3 random=0.3
//   array of=bias dtype=float32 shape=16
//   <64 bytes and a line's end>
//   export_nchw name=output x=1
//   end
//
// Tensors and operations have the fields that Plan's methods take (engine/plan.h).
// Arrays follow their operation.
#pragma once

#include "engine/plan.h"
#include "tools/stream.h"

namespace tilewise::tools {

// Reads from the line after `first`, the line "plan", to "end". The plan is finished. Throws
// std::invalid_argument for whatever is wrong.
Plan read_plan(Fields first, Stream& stream);

}  // namespace tilewise::tools
