"""Names that other modules, other plugins and saved projects rely on."""

#: Configuration variable with the path of the `opus-dsd` executable.
OPUSDSD_RS_BIN = "OPUSDSD_RS_BIN"
#: Configuration variable with a release archive that `scipion3 installb opusdsdrs` unpacks.
OPUSDSD_RS_ARCHIVE = "OPUSDSD_RS_ARCHIVE"
#: Name of the executable where the variable is not set.
PROGRAM = "opus-dsd"

#: How particles tell other plugins which program their latents are of.
PROG_NAME = "Opus-DSD"
# Attributes of a set's FlexInfo; the first four are those of the older plugin.
WEIGHTS = "_opusdsdWeights"
CONFIG = "_opusdsdConfig"
ZDIM = "_opusdsdZDim"
DOWNFRAC = "_opusdsdDownFrac"
#: Folder of the trained job, relative to the project.
JOB = "_opusdsdJob"
#: Extra column of a volume: its latents.
Z_VALUES = "_opusdsdZValues"

#: Exit status of wrong use or input, and of settings that do not fit the job that is in the folder.
STATUS_WRONG_USE = 2
