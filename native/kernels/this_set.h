// The kernel set that this file is compiled for: its namespace, vectors and instructions.
//
// What lies in the namespace TILEWISE_SET is compiled once per set, with that set's flags, so that code built for one
// machine is never linked into another's. A set's .cpp defines TILEWISE_SET, its namespace, and TILEWISE_SET_HEADER,
// the header with its instructions.
#pragma once

#if !defined(TILEWISE_SET) || !defined(TILEWISE_SET_HEADER)
#error "define TILEWISE_SET and TILEWISE_SET_HEADER, which say for which kernel set this is compiled"
#endif

#include TILEWISE_SET_HEADER
