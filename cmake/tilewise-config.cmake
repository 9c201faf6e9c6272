# find_package(tilewise): the targets tilewise::tilewise, the shared library, and tilewise::static
# where it was installed (wheels leave it out).
get_filename_component(tilewise_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
if(NOT TARGET tilewise::tilewise)
  add_library(tilewise::tilewise SHARED IMPORTED)
  set_target_properties(tilewise::tilewise PROPERTIES
    IMPORTED_LOCATION "${tilewise_prefix}/lib/libtilewise.so"
    INTERFACE_INCLUDE_DIRECTORIES "${tilewise_prefix}/include")
endif()
if(NOT TARGET tilewise::static AND EXISTS "${tilewise_prefix}/lib/libtilewise.a")
  find_package(Threads REQUIRED)
  add_library(tilewise::static STATIC IMPORTED)
  set_target_properties(tilewise::static PROPERTIES
    IMPORTED_LOCATION "${tilewise_prefix}/lib/libtilewise.a"
    INTERFACE_INCLUDE_DIRECTORIES "${tilewise_prefix}/include"
    INTERFACE_LINK_LIBRARIES "stdc++;m;Threads::Threads")
endif()
