# Stands in for 3D Slicer's build system, so that the extension can be configured where there is no Slicer.
#
# Whatever Slicer would be told ends up in <build folder>/record.txt, one line each, in the order of the calls:
#   script|<module>|<file>|<in a folder of its own>     resource|<module>|<file>|<in a folder of its own>
#   unittest|<file>     included|use     included|config     included|cpack     set|<EXTENSION_...>|<value>
# As in Slicer, WITH_SUBDIR names the folder after the source folder, not after the module.

set(Slicer_RECORD "${CMAKE_BINARY_DIR}/record.txt")
file(WRITE "${Slicer_RECORD}" "")

macro(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MY "WITH_GENERIC_TESTS;WITH_SUBDIR;VERBOSE" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(MY_UNPARSED_ARGUMENTS OR NOT MY_NAME)
    message(FATAL_ERROR "a scripted module has no NAME, or words that are unknown: ${MY_UNPARSED_ARGUMENTS}")
  endif()
  set(MY_FOLDER "")
  if(MY_WITH_SUBDIR)
    get_filename_component(MY_FOLDER "${CMAKE_CURRENT_SOURCE_DIR}" NAME)
  endif()
  foreach(MY_FILE IN LISTS MY_SCRIPTS)
    file(APPEND "${Slicer_RECORD}" "script|${MY_NAME}|${MY_FILE}|${MY_FOLDER}\n")
  endforeach()
  foreach(MY_FILE IN LISTS MY_RESOURCES)
    file(APPEND "${Slicer_RECORD}" "resource|${MY_NAME}|${MY_FILE}|${MY_FOLDER}\n")
  endforeach()
endmacro()

macro(slicer_add_python_unittest)
  cmake_parse_arguments(MY "" "TESTNAME_PREFIX;SCRIPT" "SLICER_ARGS" ${ARGN})
  get_filename_component(MY_FILE "${MY_SCRIPT}" ABSOLUTE)
  file(APPEND "${Slicer_RECORD}" "unittest|${MY_FILE}\n")
endmacro()

# Three files to include. Each notes that it was included; config also notes what the extension says of itself.
set(MY_NOTE "file(APPEND \"${Slicer_RECORD}\"")
set(Slicer_USE_FILE "${CMAKE_BINARY_DIR}/use.cmake")
file(WRITE "${Slicer_USE_FILE}" "${MY_NOTE} \"included|use\\n\")\n")
set(Slicer_EXTENSION_GENERATE_CONFIG "${CMAKE_BINARY_DIR}/config.cmake")
file(WRITE "${Slicer_EXTENSION_GENERATE_CONFIG}" "${MY_NOTE} \"included|config\\n\")\n")
foreach(MY_KEY HOMEPAGE CATEGORY CONTRIBUTORS DESCRIPTION ICONURL SCREENSHOTURLS DEPENDS)
  file(APPEND "${Slicer_EXTENSION_GENERATE_CONFIG}"
    "${MY_NOTE} \"set|EXTENSION_${MY_KEY}|\${EXTENSION_${MY_KEY}}\\n\")\n")
endforeach()
set(Slicer_EXTENSION_CPACK "${CMAKE_BINARY_DIR}/cpack.cmake")
file(WRITE "${Slicer_EXTENSION_CPACK}" "${MY_NOTE} \"included|cpack\\n\")\n")
