// What measurements belong to.
#pragma once

#include <string>

namespace tilewise {

// The processor's name as the system tells it; printable characters only.
std::string cpu_name();
std::string compiler();  // of this program
int cores();             // that this process may use

}  // namespace tilewise
