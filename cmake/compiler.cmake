# Flags that every target shares, and where built files go.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# The package is found by $ORIGIN wherever it is installed; no absolute path of the build machine is left in it.
set(CMAKE_BUILD_WITH_INSTALL_RPATH ON)

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()

# A development build runs the code that a wheel ships; a sanitizer build keeps its assertions.
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O3 -g -DNDEBUG")
if(DISTOS_COLL_SANITIZE)
  set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -g1")
endif()

find_program(ccache_program ccache)
if(ccache_program)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${ccache_program})
endif()

# Results must be the same bits on every machine, so the compiler may not fuse a * b + c where an ISA offers it.
add_compile_options(-ffp-contract=off)

if(DISTOS_COLL_SANITIZE STREQUAL "address")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(DISTOS_COLL_SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
  add_link_options(-fsanitize=thread)
  # ThreadSanitizer does not model std::atomic_thread_fence; g++ says so for every use.
  add_compile_options(-Wno-tsan)
elseif(DISTOS_COLL_SANITIZE)
  message(FATAL_ERROR "DISTOS_COLL_SANITIZE=${DISTOS_COLL_SANITIZE}: use address, thread or nothing")
endif()

add_library(distos_coll_warnings INTERFACE)
# g++ 12 sees overlapping copies in std::string where there are none (its bug 105651).
target_compile_options(distos_coll_warnings INTERFACE -Wall -Wextra -Wnon-virtual-dtor
                       $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
                       $<$<BOOL:${DISTOS_COLL_WERROR}>:-Werror>)

# What belongs in the package besides its Python sources; an editable install reads it from the source tree.
if(DISTOS_COLL_INPLACE)
  set(package_dir ${CMAKE_SOURCE_DIR}/distos_coll)
else()
  set(package_dir ${CMAKE_BINARY_DIR}/package)
  file(MAKE_DIRECTORY ${package_dir}/torch)
endif()

# Installs a library under the package folder `dir`; for an editable install it is built there in the first place.
function(place_in_package target dir)
  if(DISTOS_COLL_INPLACE)
    set_target_properties(${target} PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_SOURCE_DIR}/${dir})
  else()
    install(TARGETS ${target} LIBRARY DESTINATION ${dir})
  endif()
endfunction()
