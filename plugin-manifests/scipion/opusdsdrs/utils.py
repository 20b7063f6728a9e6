"""What other plugins call, by the names that Flexibility Hub's plugins agree on."""

import os

import numpy as np

from . import Plugin
from .client import Client


def generateVolumes(zValues, weights, config, outdir, Apix=None, boxSize=None, flip=False, invert=False, useGpu=False, gpu="0", threads=1,
                    **_others):
    """Decodes volumes for latents; `vol_000.mrc` … are in `outdir`, in the order of `zValues`. Returns their paths.

    `zValues`: one row of latents a volume (one row may be flat). `weights`: `_opusdsdWeights` of a set, an epoch's folder of a trained job.
    `config`: `_opusdsdConfig`, the settings of that job. `Apix` (Å) and `boxSize` (voxels) of the volumes: those of the job's maps where
    they are None. Other arguments of the older plugin's function are not needed.

    Raises JobFailed with the program's own words.
    """
    latents = np.atleast_2d(np.asarray(zValues, dtype=np.float32))
    os.makedirs(outdir, exist_ok=True)
    zfile = os.path.join(outdir, "zfile.txt")
    np.savetxt(zfile, latents, fmt="%.9g")
    epoch = int(os.path.basename(os.path.normpath(weights)).rsplit("-", 1)[1])
    settings = {"job": os.path.dirname(config), "zfile": zfile, "epoch": epoch, "flip": bool(flip), "invert": bool(invert), "j": threads,
                "apix": Apix, "box": boxSize, "gpu": str(gpu) if useGpu else None, "device": None if useGpu else "cpu"}
    with Client(Plugin.getProgram(), env=Plugin.getEnviron()) as client:
        client.run_job("decode", settings, outdir)
    return [os.path.join(outdir, "vol_%03d.mrc" % i) for i in range(len(latents))]
