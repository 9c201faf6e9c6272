// Runs the test of every operation: operations/<name>/test.cpp defines test_<name>().
#include <iostream>

namespace tilewise::testing {

#define TILEWISE_OPERATION(name) void test_##name();
#include "generated/list.inc"
#undef TILEWISE_OPERATION

}  // namespace tilewise::testing

int main() {
#define TILEWISE_OPERATION(name)         \
  std::cout << #name << std::endl; \
  tilewise::testing::test_##name();
#include "generated/list.inc"
#undef TILEWISE_OPERATION
}
