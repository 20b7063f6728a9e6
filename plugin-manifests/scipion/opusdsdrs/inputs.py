"""What the program reads, written from Scipion's objects. Everything is the same again when it is written again, so that a job goes on."""

import os
import shutil
import struct

import numpy as np
from pwem.constants import ALIGN_PROJ
from pwem.emlib.image import ImageHandler
from pwem.objects import SetOfParticles
from pyworkflow.plugin import Domain

#: Stacks that the program reads itself; others are converted.
STACKS = {".mrc", ".mrcs"}
#: MRC header, in bytes: sampling of the cell (mx, my, mz), cell lengths (Å), machine stamp.
MRC_SAMPLING, MRC_CELL, MRC_STAMP, MRC_HEADER = 28, 40, 212, 1024
MRC_BIG_ENDIAN = 0x11
#: Mode of 32-bit numbers.
MRC_FLOAT = 2
#: Width of the edge of a ball, voxels: as RELION's masks have by default.
SOFT_EDGE_VOXELS = 5


def write_particles(particles, star, folder):
    """Writes particles with poses and CTF; `rlnImageId` is the particle's id here, and images are named from the project on."""
    write = Domain.importFromPlugin("relion.convert", "writeSetOfParticles", doRaise=True)
    more = {"outputDir": folder, "forceConvert": True} if need_conversion(particles) else {}

    def single_particle(_particle, row):
        row["rlnImageName"] = _plain(row["rlnImageName"])
        # The converter writes a third origin, always 0, which elsewhere marks sub-tomograms.
        row.pop("rlnOriginZAngst", None)

    unfinished = star + ".tmp"
    write(particles, unfinished, alignType=ALIGN_PROJ, postprocessImageRow=single_particle, **more)
    os.replace(unfinished, star)


def need_conversion(particles):
    """Whether the images are in files that the program does not read."""
    return any(os.path.splitext(_plain(name))[1] not in STACKS for name in particles.getFiles())


def first_particles(particles, number, path):
    """A set of the first particles, written to a file."""
    few = SetOfParticles(filename=path)
    few.copyInfo(particles)
    for particle in particles.iterItems(limit=number):
        few.append(particle.clone())
    particles.close()
    few.write()
    return few


def write_map(volume, path):
    """Writes a map or mask as MRC whose header has the pixel size that Scipion knows."""
    name = _plain(volume.getFileName())
    unfinished = path + ".tmp.mrc"
    if name.endswith((".mrc", ".map")):
        shutil.copyfile(name, unfinished)
    else:
        ImageHandler().convert(volume, unfinished)
    with open(unfinished, "r+b") as file:
        header = file.read(MRC_HEADER)
        order = ">" if header[MRC_STAMP] == MRC_BIG_ENDIAN else "<"
        voxels = struct.unpack_from(order + "3i", header, MRC_SAMPLING)
        file.seek(MRC_CELL)
        file.write(struct.pack(order + "3f", *(n * volume.getSamplingRate() for n in voxels)))
    os.replace(unfinished, path)


def write_ball(path, box, apix, radius):
    """Writes a ball with a soft edge as a mask: `box` voxels of `apix` Å, `radius` in Å."""
    axis = np.arange(box, dtype=np.float32) - box // 2
    distance = np.sqrt(axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2)
    beyond = np.clip((distance - radius / apix) / SOFT_EDGE_VOXELS, 0, 1)
    mask = (0.5 + 0.5 * np.cos(np.pi * beyond)).astype("<f4")
    header = bytearray(MRC_HEADER)
    struct.pack_into("<10i", header, 0, box, box, box, MRC_FLOAT, 0, 0, 0, box, box, box)
    struct.pack_into("<6f", header, MRC_CELL, *[box * apix] * 3, 90, 90, 90)
    struct.pack_into("<3i", header, 64, 1, 2, 3)
    struct.pack_into("<3f", header, 76, mask.min(), mask.max(), mask.mean())
    header[208:216] = b"MAP \x44\x44\0\0"
    with open(path + ".tmp", "wb") as file:
        file.write(header)
        file.write(mask.tobytes())
    os.replace(path + ".tmp", path)


def _plain(name):
    """A file's name without the format that Scipion may put behind it."""
    return name.split(":mrc")[0]
