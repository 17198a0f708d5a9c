# One helper each for library, program, test, fuzz target. Own code is compiled with every
# warning on; generated code lies in targets of its own (Dependencies.cmake) and is exempt.

set(REMUDA_SANITIZE "" CACHE STRING "Sanitizers, as for -fsanitize=")

add_library(remuda_flags INTERFACE)
target_compile_options(remuda_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion
  $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes -Wmissing-prototypes -Wvla>
  $<$<COMPILE_LANGUAGE:C>:-Werror=implicit-function-declaration -Werror=incompatible-pointer-types>
  -fmacro-prefix-map=${PROJECT_SOURCE_DIR}/=
  -fno-omit-frame-pointer -fstack-protector-strong)
target_compile_definitions(remuda_flags INTERFACE _GNU_SOURCE REMUDA_VERSION="${PROJECT_VERSION}"
  $<$<CONFIG:Debug>:RMD_ARENA_PLAIN>)
target_include_directories(remuda_flags INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR})
if(REMUDA_SANITIZE)
  add_compile_options(-fsanitize=${REMUDA_SANITIZE} -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=${REMUDA_SANITIZE})
endif()
if(REMUDA_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# remuda_library(NAME SOURCES a.c ... DEPS target ...): a static library of our own code.
function(remuda_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE remuda_flags PUBLIC ${ARG_DEPS})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR})
endfunction()

# remuda_program(NAME SOURCES a.c ... DEPS target ...): a program in build/PRESET/bin.
function(remuda_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE remuda_flags ${ARG_DEPS})
endfunction()

# remuda_test(NAME SOURCES a.c ... DEPS target ... [LABEL unit|integration] [TIMEOUT s]):
# a cmocka program that ctest runs.
function(remuda_test name)
  cmake_parse_arguments(ARG "" "LABEL;TIMEOUT" "SOURCES;DEPS" ${ARGN})
  if(NOT REMUDA_TESTS)
    return()
  endif()
  if(NOT ARG_LABEL)
    set(ARG_LABEL unit)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 60)
  endif()
  if(REMUDA_SANITIZE)
    math(EXPR ARG_TIMEOUT "${ARG_TIMEOUT} * 5")
  endif()
  add_executable(${name} ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  target_link_libraries(${name} PRIVATE remuda_flags ${ARG_DEPS} remuda_cmocka)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS ${ARG_LABEL} TIMEOUT ${ARG_TIMEOUT})
endfunction()

# remuda_fuzz(NAME SOURCES a.c ... DEPS target ... CORPUS dir): LLVMFuzzerTestOneInput in
# a.c. With REMUDA_FUZZ a libFuzzer program; always an ordinary test that runs the corpus
# in `dir` (tests/fuzz/standalone.c is its main). The target remuda_fuzzers builds them all.
if(REMUDA_FUZZ)
  add_custom_target(remuda_fuzzers)
endif()
function(remuda_fuzz name)
  cmake_parse_arguments(ARG "" "CORPUS" "SOURCES;DEPS" ${ARGN})
  if(NOT REMUDA_TESTS)
    return()
  endif()
  add_executable(${name}_corpus ${ARG_SOURCES} ${PROJECT_SOURCE_DIR}/tests/fuzz/standalone.c)
  set_target_properties(${name}_corpus PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  target_link_libraries(${name}_corpus PRIVATE remuda_flags ${ARG_DEPS})
  add_test(NAME ${name}_corpus COMMAND ${name}_corpus ${ARG_CORPUS})
  set_tests_properties(${name}_corpus PROPERTIES LABELS unit TIMEOUT 60)
  if(REMUDA_FUZZ)
    add_executable(${name} ${ARG_SOURCES})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/fuzz)
    target_link_libraries(${name} PRIVATE remuda_flags ${ARG_DEPS})
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    file(WRITE ${PROJECT_BINARY_DIR}/fuzz/${name}.corpus ${ARG_CORPUS})
    add_dependencies(remuda_fuzzers ${name})
  endif()
endfunction()
