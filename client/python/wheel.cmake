# What a wheel carries beside the Python files (pyproject.toml lists those), as component `wheel`:
#
#   remuda/_client…so, remuda_worker/_worker…so     for the interpreter that builds
#   remuda/bin       coordinator, agent, workers, the command
#   remuda/lib       libremuda, and the libraries of others under names of their own (bundle.py)
#
# Everything finds its libraries by $ORIGIN. DT_RPATH and not DT_RUNPATH: that of a program counts
# for the libraries of its libraries too, which have none.
if(NOT REMUDA_PYTHON)
  message(FATAL_ERROR "a wheel needs the headers of ${Python3_EXECUTABLE}")
endif()

set(wheel_programs remudad remuda-agent remuda-cli remuda-crash remuda-worker-native
  remuda-worker-python)
add_custom_target(remuda_wheel DEPENDS
  remuda remuda-worker remuda_python_client remuda_python_worker ${wheel_programs})

foreach(target IN LISTS wheel_programs)
  set_target_properties(${target} PROPERTIES INSTALL_RPATH "$ORIGIN/../lib")
endforeach()
set_target_properties(remuda_python_client PROPERTIES INSTALL_RPATH "$ORIGIN/lib")
set_target_properties(remuda PROPERTIES INSTALL_RPATH "$ORIGIN" VERSION 1) # one file, no links
foreach(target IN LISTS wheel_programs ITEMS remuda remuda_python_client)
  target_link_options(${target} PRIVATE -Wl,--disable-new-dtags)
endforeach()

install(TARGETS ${wheel_programs} RUNTIME DESTINATION remuda/bin COMPONENT wheel)
install(TARGETS remuda LIBRARY DESTINATION remuda/lib COMPONENT wheel NAMELINK_SKIP)
install(TARGETS remuda-worker LIBRARY DESTINATION remuda/lib/remuda COMPONENT wheel)
install(TARGETS remuda_python_client LIBRARY DESTINATION remuda COMPONENT wheel)
install(TARGETS remuda_python_worker LIBRARY DESTINATION remuda_worker COMPONENT wheel)
install(CODE "execute_process(COMMAND \"${Python3_EXECUTABLE}\"
  \"${CMAKE_CURRENT_SOURCE_DIR}/bundle.py\" \"\${CMAKE_INSTALL_PREFIX}/remuda\"
  COMMAND_ERROR_IS_FATAL ANY)" COMPONENT wheel)
