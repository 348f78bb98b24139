# One binary per cpp/tests/<name>_test.cc, over the whole core (internal symbols too). GoogleTest comes from the
# sources that the ros-gtest-vendor package installs beside the interpreter, else from the system.
find_package(Python 3.10 COMPONENTS Interpreter)
set(gtest_sources "")
if(Python_Interpreter_FOUND)
  execute_process(COMMAND ${Python_EXECUTABLE} -c "import sys; print(sys.prefix)"
                  OUTPUT_VARIABLE python_prefix OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(EXISTS ${python_prefix}/src/gtest_vendor/src/gtest-all.cc)
    set(gtest_sources ${python_prefix}/src/gtest_vendor)
  endif()
endif()

if(gtest_sources)
  add_library(gtest_main STATIC EXCLUDE_FROM_ALL ${gtest_sources}/src/gtest-all.cc ${gtest_sources}/src/gtest_main.cc)
  target_include_directories(gtest_main SYSTEM PUBLIC ${gtest_sources}/include PRIVATE ${gtest_sources})
  target_link_libraries(gtest_main PUBLIC Threads::Threads)
  target_compile_options(gtest_main PRIVATE -O0 -g0)  # it takes long to compile, and little time to run
  set(gtest_target gtest_main)
else()
  find_package(GTest)
  if(NOT GTest_FOUND)
    message(WARNING "No GoogleTest: the C++ tests are left out. Install one of: "
            "pip install ros-gtest-vendor (Python 3.11), or Debian's libgtest-dev.")
    return()
  endif()
  set(gtest_target GTest::gtest_main)
endif()

file(GLOB test_sources CONFIGURE_DEPENDS cpp/tests/*_test.cc)
file(GLOB support_sources CONFIGURE_DEPENDS cpp/tests/*.cc)
file(GLOB fuzz_sources CONFIGURE_DEPENDS cpp/fuzz/*_fuzz.cc)
if(test_sources)
  list(REMOVE_ITEM support_sources ${test_sources})
endif()
# Tests with one thread run beside each other; under ThreadSanitizer not at all, because nothing can race.
set(one_thread "/(card|interfaces|reduce|reduce_conversions|settings|sha256)_test.cc$")
if(DISTOS_COLL_SANITIZE STREQUAL "thread")
  list(FILTER test_sources EXCLUDE REGEX ${one_thread})
  set(fuzz_sources "")
endif()

add_library(core_for_tests STATIC EXCLUDE_FROM_ALL $<TARGET_OBJECTS:core> ${support_sources})
target_include_directories(core_for_tests PUBLIC cpp cpp/include)
target_link_libraries(core_for_tests PUBLIC Threads::Threads ${gtest_target} PRIVATE distos_coll_warnings)

# The plans that tests run, written by the planner of this source tree.
set(plans_folder ${CMAKE_BINARY_DIR}/test_plans)
file(GLOB_RECURSE planner_sources CONFIGURE_DEPENDS distos_coll/program/*.py distos_coll/schedules/*.py
     distos_coll/planner/*.py)
add_custom_command(
  OUTPUT ${plans_folder}/written
  COMMAND ${CMAKE_COMMAND} -E env --modify PYTHONPATH=path_list_prepend:${CMAKE_SOURCE_DIR}
          PYTHONDONTWRITEBYTECODE=1
          ${Python_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tools/test_plans.py ${plans_folder}
  COMMAND ${CMAKE_COMMAND} -E touch ${plans_folder}/written
  DEPENDS ${planner_sources} ${CMAKE_SOURCE_DIR}/tools/test_plans.py
  COMMENT "Writing the plans of the C++ tests" VERBATIM)
add_custom_target(test_plans DEPENDS ${plans_folder}/written)

add_custom_target(cpp_tests)

# What all tests of the core share; `command` runs after the executable's path.
function(add_core_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "COMMAND")
  add_test(NAME ${name} COMMAND ${name} ${arg_COMMAND})
  set_tests_properties(${name} PROPERTIES TIMEOUT 300)
  if(DISTOS_COLL_SANITIZE STREQUAL "thread")
    set_tests_properties(${name} PROPERTIES ENVIRONMENT
      "TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1")
  elseif(DISTOS_COLL_SANITIZE STREQUAL "address")
    set_tests_properties(${name} PROPERTIES ENVIRONMENT
      "ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1;UBSAN_OPTIONS=print_stacktrace=1")
  endif()
endfunction()

foreach(source IN LISTS test_sources)
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} EXCLUDE_FROM_ALL ${source})
  add_dependencies(cpp_tests ${name})
  target_link_libraries(${name} PRIVATE core_for_tests distos_coll_warnings)
  target_compile_options(${name} PRIVATE -O1)
  if(TARGET programs)
    add_dependencies(${name} programs)
    target_compile_definitions(${name} PRIVATE DISTOS_COLL_TEST_PROGRAMS="${programs_file}")
  endif()
  add_dependencies(${name} test_plans)
  target_compile_definitions(${name} PRIVATE DISTOS_COLL_TEST_PLANS="${plans_folder}"
    DISTOS_COLL_ERROR_PAGE="${PROJECT_SOURCE_DIR}/docs/errors.md")
  add_core_test(${name})
  if(NOT source MATCHES ${one_thread})
    set_tests_properties(${name} PROPERTIES RUN_SERIAL ON)
  endif()
endforeach()

# Each fuzz target replays its corpus and mutations of it. With clang, cpp/fuzz/<name>_fuzz.cc also links with
# -fsanitize=fuzzer as it is.
add_library(fuzz_replay OBJECT EXCLUDE_FROM_ALL cpp/fuzz/replay_main.cc)
target_include_directories(fuzz_replay PRIVATE cpp)
foreach(source IN LISTS fuzz_sources)
  get_filename_component(name ${source} NAME_WE)
  string(REPLACE "_fuzz" "" what ${name})
  add_executable(${name} EXCLUDE_FROM_ALL ${source} $<TARGET_OBJECTS:fuzz_replay>)
  add_dependencies(cpp_tests ${name})
  target_link_libraries(${name} PRIVATE core_for_tests distos_coll_warnings)
  add_core_test(${name} COMMAND ${CMAKE_SOURCE_DIR}/cpp/fuzz/corpus/${what} --mutations=5000)
endforeach()

# Built on request: cmake --build build/dev --target reduce_bench.
add_executable(reduce_bench EXCLUDE_FROM_ALL bench/reduce_bench.cc)
target_link_libraries(reduce_bench PRIVATE core_for_tests distos_coll_warnings)
