# SPDX-License-Identifier: Apache-2.0
#
# harrier_precompile(target headers...)   precompiled headers, where they pay
# harrier_test(name SOURCES ... LIBS ... [LABELS ...] [TIMEOUT seconds] [SERIAL])
#                                         a GoogleTest executable and its tests, one per ctest entry

include(GoogleTest)

function(harrier_precompile target)
  if(NOT HARRIER_TIDY)
    target_precompile_headers(${target} PRIVATE ${ARGN})
  endif()
endfunction()

# One precompiled header for all unit tests: GoogleTest and the containers everybody uses.
function(harrier_test_pch)
  if(TARGET harrier_test_pch)
    return()
  endif()
  find_package(GTest REQUIRED)
  file(CONFIGURE OUTPUT "${CMAKE_BINARY_DIR}/harrier_test_pch.cpp"
       CONTENT "// The tests' precompiled header needs an owner.\n")
  add_library(harrier_test_pch STATIC "${CMAKE_BINARY_DIR}/harrier_test_pch.cpp")
  target_link_libraries(harrier_test_pch PRIVATE harrier_options GTest::gtest)
  target_compile_options(harrier_test_pch PRIVATE -fno-lto)
  harrier_precompile(harrier_test_pch
    <gtest/gtest.h> <algorithm> <array> <cstdint> <functional> <map> <memory> <optional> <string>
    <string_view> <utility> <vector>)
endfunction()

function(harrier_test name)
  cmake_parse_arguments(arg "SERIAL" "TIMEOUT" "SOURCES;LIBS;LABELS" ${ARGN})
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "harrier_test(${name}): what is ${arg_UNPARSED_ARGUMENTS}?")
  endif()
  harrier_test_pch()
  find_package(GTest REQUIRED)
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE harrier_options ${arg_LIBS} GTest::gtest GTest::gtest_main)
  target_compile_options(${name} PRIVATE -fno-lto)
  target_link_options(${name} PRIVATE -fno-lto)
  if(NOT HARRIER_TIDY)
    target_precompile_headers(${name} REUSE_FROM harrier_test_pch)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  if(NOT arg_LABELS)
    set(arg_LABELS unit)
  endif()
  set(properties TIMEOUT ${arg_TIMEOUT} LABELS "${arg_LABELS}")
  if(arg_SERIAL)
    list(APPEND properties RUN_SERIAL ON)
  endif()
  # PRE_TEST: listing the tests at build time would run sanitized binaries inside the link step.
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
                       TEST_PREFIX "${name}/" PROPERTIES ${properties})
endfunction()
