"""What other plugins call, by the names that Flexibility Hub's plugins agree on."""

import os
import subprocess

import numpy as np

from . import Plugin
from .constants import PROG_NAME  # noqa: F401  (the name that other plugins ask for)


def generateVolumes(zValues, weights, config, outdir, Apix=None, boxSize=None, flip=False, invert=False, useGpu=False, gpu="0", threads=1,
                    **_others):
    """Decodes volumes for latents; `vol_000.mrc` … are in `outdir`, in the order of `zValues`. Returns their paths.

    `zValues`: one row of latents a volume (one row may be flat). `weights`: `_opusdsdWeights` of a set, an epoch's folder of a trained job.
    `config`: `_opusdsdConfig`, the settings of that job. `Apix` (Å) and `boxSize` (voxels) of the volumes: those of the job's maps where
    they are None. Other arguments of the older plugin's function are not needed.

    Raises RuntimeError with the program's own words.
    """
    latents = np.atleast_2d(np.asarray(zValues, dtype=np.float32))
    os.makedirs(outdir, exist_ok=True)
    zfile = os.path.join(outdir, "zfile.txt")
    np.savetxt(zfile, latents, fmt="%.9g")
    epoch = int(os.path.basename(os.path.normpath(weights)).rsplit("-", 1)[1])
    words = [Plugin.getProgram(), "decode", "--job", os.path.dirname(config), "--o", outdir + "/", "--zfile", zfile, "--epoch", str(epoch),
             "--flip", "yes" if flip else "no", "--invert", "yes" if invert else "no", "--j", str(threads)]
    words += ["--gpu", str(gpu)] if useGpu else ["--device", "cpu"]
    words += ["--apix", "%.9g" % Apix] if Apix is not None else []
    words += ["--box", str(int(boxSize))] if boxSize is not None else []
    done = subprocess.run(words, env=Plugin.getEnviron(), capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError((done.stderr.strip().splitlines() or ["opus-dsd decode ended with status %d" % done.returncode])[-1])
    return [os.path.join(outdir, "vol_%03d.mrc" % i) for i in range(len(latents))]
