# What Python loads: _native and torch/_c10d.
find_package(Python 3.10 REQUIRED COMPONENTS Interpreter Development.Module)

# ---- _native
file(GLOB bind_sources CONFIGURE_DEPENDS cpp/bind/*.cc)
if(bind_sources)
  execute_process(COMMAND ${Python_EXECUTABLE} -m pybind11 --cmakedir
                  OUTPUT_VARIABLE pybind11_DIR OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  find_package(pybind11 3.0 CONFIG REQUIRED PATHS ${pybind11_DIR} NO_DEFAULT_PATH)
  pybind11_add_module(_native MODULE ${bind_sources})
  target_link_libraries(_native PRIVATE distos_coll distos_coll_warnings)
  set_target_properties(_native PROPERTIES INSTALL_RPATH "$ORIGIN")
  place_in_package(_native distos_coll)
endif()

# ---- torch/_c10d
# torch's own headers and its own bundled pybind11: a Work or Store made with another pybind11 does not cross into
# torch. Its libraries are linked by path: find_package(Torch) would ask for the CUDA toolkit of a CUDA build of torch.
file(GLOB torch_sources CONFIGURE_DEPENDS cpp/torch/*.cc)
if(torch_sources AND DISTOS_COLL_TORCH)
  execute_process(COMMAND ${Python_EXECUTABLE} ${CMAKE_SOURCE_DIR}/cmake/torch_facts.py
                  OUTPUT_VARIABLE torch_facts OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE torch_missing)
  if(torch_missing)
    message(STATUS "torch is not importable by ${Python_EXECUTABLE}: the torch backend is left out. "
            "Install torch, then run: pip install --no-build-isolation .")
  else()
    list(GET torch_facts 0 torch_version)
    list(GET torch_facts 1 torch_root)
    list(GET torch_facts 2 torch_cxx11_abi)
    message(STATUS "torch ${torch_version}: building the torch backend against it")
    Python_add_library(_c10d MODULE WITH_SOABI ${torch_sources})
    set_target_properties(_c10d PROPERTIES CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
    target_include_directories(_c10d SYSTEM PRIVATE ${torch_root}/include
                               ${torch_root}/include/torch/csrc/api/include)
    target_compile_definitions(_c10d PRIVATE _GLIBCXX_USE_CXX11_ABI=${torch_cxx11_abi}
                               TORCH_EXTENSION_NAME=_c10d DISTOS_COLL_TORCH_VERSION="${torch_version}")
    # Each file would read half a million lines of torch; the door copies no data, so -O2 and line tables do.
    target_precompile_headers(_c10d PRIVATE <torch/csrc/distributed/c10d/Backend.hpp>
                              <torch/csrc/distributed/c10d/ProcessGroup.hpp>)
    target_compile_options(_c10d PRIVATE -O2 $<$<CONFIG:RelWithDebInfo>:-g1>)
    target_link_libraries(_c10d PRIVATE distos_coll distos_coll_warnings)
    foreach(library torch torch_cpu torch_python c10)
      target_link_libraries(_c10d PRIVATE ${torch_root}/lib/lib${library}.so)
    endforeach()
    set_target_properties(_c10d PROPERTIES INSTALL_RPATH "$ORIGIN/..")
    place_in_package(_c10d distos_coll/torch)

    # Read before _c10d is loaded, so that another torch is an error with a sentence, not an undefined symbol.
    file(CONFIGURE OUTPUT ${package_dir}/torch/_built.json CONTENT "{\"torch\": \"${torch_version}\"}\n" @ONLY)
    if(NOT DISTOS_COLL_INPLACE)
      install(FILES ${package_dir}/torch/_built.json DESTINATION distos_coll/torch)
    endif()
  endif()
endif()
