# Other people's libraries, each as one target, and code generated from our .proto files.
# docs/dependencies.md says why each is here.

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)
pkg_check_modules(PROTOBUF_C REQUIRED IMPORTED_TARGET libprotobuf-c)
pkg_check_modules(CMOCKA IMPORTED_TARGET cmocka)
find_program(PROTOC protoc REQUIRED)
find_program(NANOPB_GENERATOR nanopb_generator.py REQUIRED)
find_library(NANOPB_LIBRARY protobuf-nanopb REQUIRED)

add_library(remuda_cmocka INTERFACE)
if(CMOCKA_FOUND)
  target_link_libraries(remuda_cmocka INTERFACE PkgConfig::CMOCKA)
elseif(REMUDA_TESTS)
  message(FATAL_ERROR "cmocka is missing: install libcmocka-dev, or configure with -DREMUDA_TESTS=OFF")
endif()

# gRPC core, static: 15 to 25 % more messages a second than the shared one.
pkg_check_modules(GRPC REQUIRED grpc)
add_library(remuda_grpc INTERFACE)
set(grpc_static)
foreach(flag IN LISTS GRPC_STATIC_LDFLAGS)
  if(flag MATCHES "^-l(grpc|gpr|address_sorting|upb|absl_.*)$")
    list(APPEND grpc_static "-l:lib${CMAKE_MATCH_1}.a")
  else()
    list(APPEND grpc_static ${flag})
  endif()
endforeach()
target_link_libraries(remuda_grpc INTERFACE -Wl,--start-group ${grpc_static} -Wl,--end-group stdc++ m Threads::Threads)

# protobuf-c code of the public contract: target remuda_pb, headers "remuda/v1/x.pb-c.h".
set(pb_dir ${PROJECT_BINARY_DIR}/generated)
file(MAKE_DIRECTORY ${pb_dir})
set(pb_protos capture value error task executor agents pools blobs admin)
set(pb_sources)
set(pb_inputs)
foreach(p IN LISTS pb_protos)
  list(APPEND pb_inputs ${PROJECT_SOURCE_DIR}/proto/remuda/v1/${p}.proto)
endforeach()
foreach(p IN LISTS pb_protos)
  set(out ${pb_dir}/remuda/v1/${p}.pb-c)
  add_custom_command(OUTPUT ${out}.c ${out}.h
    COMMAND ${PROTOC} -I${PROJECT_SOURCE_DIR}/proto --c_out=${pb_dir} remuda/v1/${p}.proto
    DEPENDS ${pb_inputs} VERBATIM)
  list(APPEND pb_sources ${out}.c)
endforeach()
foreach(p any duration struct timestamp)
  set(out ${pb_dir}/google/protobuf/${p}.pb-c)
  add_custom_command(OUTPUT ${out}.c ${out}.h
    COMMAND ${PROTOC} --c_out=${pb_dir} google/protobuf/${p}.proto VERBATIM)
  list(APPEND pb_sources ${out}.c)
endforeach()
add_library(remuda_pb STATIC ${pb_sources})
target_include_directories(remuda_pb SYSTEM PUBLIC ${pb_dir})
target_link_libraries(remuda_pb PUBLIC PkgConfig::PROTOBUF_C)
target_compile_options(remuda_pb PRIVATE -w)

# remuda_nanopb(TARGET x.proto ...): a library of nanopb code for files of proto/local;
# headers "local/x.pb.h".
function(remuda_nanopb target)
  set(sources)
  foreach(p IN LISTS ARGN)
    get_filename_component(name ${p} NAME_WE)
    set(out ${pb_dir}/local/${name}.pb)
    add_custom_command(OUTPUT ${out}.c ${out}.h
      COMMAND ${NANOPB_GENERATOR} -q -I${PROJECT_SOURCE_DIR}/proto -D${pb_dir} local/${name}.proto
      WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}/proto
      DEPENDS ${PROJECT_SOURCE_DIR}/proto/local/${name}.proto VERBATIM)
    list(APPEND sources ${out}.c)
  endforeach()
  add_library(${target} STATIC ${sources})
  target_include_directories(${target} SYSTEM PUBLIC ${pb_dir})
  target_link_libraries(${target} PUBLIC ${NANOPB_LIBRARY})
  target_compile_options(${target} PRIVATE -w)
endfunction()
