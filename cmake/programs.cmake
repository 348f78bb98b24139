# programs.bin: the built-in algorithms, lowered when the package is built, so that the core runs them without an
# interpreter.
find_package(Python 3.10 COMPONENTS Interpreter)
if(NOT Python_Interpreter_FOUND)
  message(STATUS "No Python interpreter: programs.bin is left out; plans must come from elsewhere")
  return()
endif()

set(programs_file ${package_dir}/programs.bin)
file(GLOB_RECURSE program_sources CONFIGURE_DEPENDS distos_coll/program/*.py distos_coll/schedules/*.py
     distos_coll/plugins/*.py)
# In front of what PYTHONPATH has: pip's isolated builds put what the build requires there.
add_custom_command(
  OUTPUT ${programs_file}
  COMMAND ${CMAKE_COMMAND} -E env --modify PYTHONPATH=path_list_prepend:${CMAKE_SOURCE_DIR}
          PYTHONDONTWRITEBYTECODE=1
          ${Python_EXECUTABLE} -m distos_coll.schedules.lower ${programs_file}
  DEPENDS ${program_sources}
  COMMENT "Lowering the built-in programs" VERBATIM)
add_custom_target(programs ALL DEPENDS ${programs_file})
if(NOT DISTOS_COLL_INPLACE)
  install(FILES ${programs_file} DESTINATION distos_coll)
endif()
