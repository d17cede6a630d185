# SPDX-License-Identifier: Apache-2.0
#
# Switches of the build, and the INTERFACE target harrier_options that every target of ours links
# PRIVATE: language level, warnings, sanitizers. Nothing here is per folder.

option(HARRIER_WERROR "Warnings are errors" OFF)
option(HARRIER_LTO "Optimise the program across translation units" OFF)
option(HARRIER_UNITY "Unity builds: faster from scratch, slower to edit" OFF)
option(HARRIER_TIDY "Run clang-tidy on everything that is compiled" OFF)
option(HARRIER_CRASH_POINTS "Places where tests/crash kills the process: not for release" OFF)
option(HARRIER_FUZZ "Build the fuzz targets with libFuzzer (clang only)" OFF)
set(HARRIER_SANITIZE "" CACHE STRING "Sanitizers, as in -fsanitize=: address,undefined or thread")

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_UNITY_BUILD ${HARRIER_UNITY})
# No -DNDEBUG: assertions state what a programmer got wrong, and stay on in what people run.
set(CMAKE_CXX_FLAGS_RELEASE "-O2")

find_package(Threads REQUIRED)

# The system's Python, which has the packages that the tests import, not the first one on the PATH.
if(NOT Python3_EXECUTABLE AND EXISTS /usr/bin/python3)
  set(Python3_EXECUTABLE /usr/bin/python3)
endif()

# Compilers: through ccache where there is one. Precompiled headers need the sloppiness, or ccache
# would refuse to look; relative paths let a second clone find what the first one compiled.
find_program(HARRIER_CCACHE ccache)
if(HARRIER_CCACHE AND (NOT CMAKE_CXX_COMPILER_LAUNCHER
                       OR CMAKE_CXX_COMPILER_LAUNCHER STREQUAL "ccache"))
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros
      CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${HARRIER_CCACHE})
endif()

# Linkers: the quickest there is. clang-14 of Debian finds mold and lld by these names too.
find_program(HARRIER_MOLD mold)
find_program(HARRIER_LLD NAMES ld.lld ld.lld-14)
if(HARRIER_MOLD)
  add_link_options(-fuse-ld=mold)
elseif(HARRIER_LLD AND CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  add_link_options(-fuse-ld=lld)
endif()

if(HARRIER_TIDY)
  find_program(HARRIER_CLANG_TIDY NAMES clang-tidy-14 REQUIRED)
  set(CMAKE_CXX_CLANG_TIDY ${HARRIER_CLANG_TIDY} --quiet --warnings-as-errors=*)
endif()

add_library(harrier_options INTERFACE)
target_include_directories(harrier_options INTERFACE "${PROJECT_SOURCE_DIR}")
target_compile_features(harrier_options INTERFACE cxx_std_20)
target_compile_options(harrier_options INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wold-style-cast
  -Wnon-virtual-dtor)
target_link_libraries(harrier_options INTERFACE Threads::Threads)
if(HARRIER_WERROR)
  target_compile_options(harrier_options INTERFACE -Werror)
endif()
if(HARRIER_CRASH_POINTS)
  target_compile_definitions(harrier_options INTERFACE HARRIER_CRASH_POINTS)
endif()
if(NOT CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_definitions(harrier_options INTERFACE _GLIBCXX_ASSERTIONS)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # A precompiled header keeps its macros only so; ccache asks for it as well.
  target_compile_options(harrier_options INTERFACE -fpch-preprocess)
  if(CMAKE_BUILD_TYPE STREQUAL "Release")
    # GCC 12, optimising, sees unset members in std::variants that are moved and overruns in
    # std::strings that are concatenated. The sanitizers look for these instead.
    target_compile_options(harrier_options INTERFACE
      -Wno-maybe-uninitialized -Wno-array-bounds -Wno-restrict -Wno-stringop-overflow)
  endif()
endif()

if(HARRIER_SANITIZE)
  # On everything, tests and archives included: a sanitizer that sees half of the program lies.
  add_compile_options(-fsanitize=${HARRIER_SANITIZE} -fno-sanitize-recover=all
                      -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${HARRIER_SANITIZE})
endif()
if(HARRIER_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "HARRIER_FUZZ needs clang++-14: use the preset `fuzz`")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(HARRIER_LTO AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Fat objects: the program is linked with LTO, the many test executables without (they would
  # optimise the same archives again, each for itself).
  target_compile_options(harrier_options INTERFACE -flto=auto -ffat-lto-objects)
endif()
