-- Lmod module. Put the folder share/modulefiles of the unpacked archive on MODULEPATH, or copy this file and set `root`.
local root = myFileName():match("(.*)/share/modulefiles/opus%-dsd/[^/]*$") or "/opt/opus-dsd"

help([[opus-dsd: learns how every particle of a consensus refinement differs, as a job of RELION, Scipion or the CCP-EM Pipeliner.
First: `opus-dsd doctor` on the machine that will train. Guide: share/opus-dsd/docs/guides/facility.md]])
whatis("Name: opus-dsd")
whatis("Version: " .. myModuleVersion())
whatis("Category: cryo-EM, heterogeneity")

conflict("opus-dsd")
prepend_path("PATH", pathJoin(root, "bin"))
-- The Scipion plugin and RELION's window find the program by these.
setenv("OPUSDSD_RS_BIN", pathJoin(root, "bin/opus-dsd"))
setenv("RELION_EXTERNAL_EXECUTABLE", pathJoin(root, "bin/opus-dsd"))
