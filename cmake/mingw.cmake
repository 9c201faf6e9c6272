# Builds for 64-bit Windows on another machine, with Debian's g++-mingw-w64-x86-64; ctest runs the tests in Wine.
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(CMAKE_CXX_COMPILER x86_64-w64-mingw32-g++-posix)  # the one of two that has std::thread
set(CMAKE_EXE_LINKER_FLAGS_INIT -static)               # one file to copy
set(CMAKE_SHARED_LINKER_FLAGS_INIT -static)
set(CMAKE_CROSSCOMPILING_EMULATOR /usr/lib/wine/wine64)
