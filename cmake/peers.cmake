# What bench/peers runs beside the libraries; built on request: cmake --build build/dev --target peers.
add_executable(limits EXCLUDE_FROM_ALL bench/limits.cc $<TARGET_OBJECTS:core>)
target_include_directories(limits PRIVATE cpp)
target_link_libraries(limits PRIVATE Threads::Threads distos_coll_warnings)
add_custom_target(peers DEPENDS limits)

if(TARGET _c10d)
  Python_add_library(noop_backend MODULE WITH_SOABI EXCLUDE_FROM_ALL bench/peers/noop_backend.cc)
  target_include_directories(noop_backend SYSTEM PRIVATE ${torch_root}/include
                             ${torch_root}/include/torch/csrc/api/include)
  target_compile_definitions(noop_backend PRIVATE _GLIBCXX_USE_CXX11_ABI=${torch_cxx11_abi}
                             TORCH_EXTENSION_NAME=noop_backend)
  target_link_libraries(noop_backend PRIVATE distos_coll_warnings)
  foreach(library torch torch_cpu torch_python c10)
    target_link_libraries(noop_backend PRIVATE ${torch_root}/lib/lib${library}.so)
  endforeach()
  add_dependencies(peers noop_backend)
endif()
