#!/usr/bin/env python3
"""Makes the pickles of this folder: poses and CTF of 40 images as the original and cryoDRGN archive them, and pickles that must be refused;
where PyTorch is installed, also files as `torch.save` writes them now and wrote them before 1.6, and a `config.pkl`.

Needs NumPy. The numbers are simple functions of the image's index, so that tests can state them.
"""

import datetime
import os
import pickle

import numpy as np

N, BOX, APIX = 40, 8, 2.0


def matrix(rot, tilt, psi):
    """RELION's matrix of three angles in degrees."""
    rot, tilt, psi = np.radians([rot, tilt, psi])
    z = lambda t: np.array([[np.cos(t), np.sin(t), 0], [-np.sin(t), np.cos(t), 0], [0, 0, 1]])
    y = np.array([[np.cos(tilt), 0, -np.sin(tilt)], [0, 1, 0], [np.sin(tilt), 0, np.cos(tilt)]])
    return z(psi) @ y @ z(rot)


i = np.arange(N, dtype=float)
euler = np.stack([9 * i - 170, 4 * i + 10, 120 - 5 * i], axis=1)
rotations = np.array([matrix(*angles) for angles in euler])
shifts = np.stack([i / 400, -i / 800], axis=1)
ctf = np.stack([0 * i + BOX, 0 * i + APIX, 10000 + 10 * i, 9800 + 10 * i, 0 * i + 30, 300 - 100 * (i >= 30), 0 * i + 2.7, 0 * i + 0.1, i], axis=1)


def save(name, value, protocol):
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), name), "wb") as file:
        pickle.dump(value, file, protocol=protocol)


class Call:
    """Runs a command when it is unpickled by Python."""

    def __reduce__(self):
        return os.system, ("touch pickle-was-run",)


save("pose_tuple3_p4.pkl", (rotations, shifts, euler), 4)
save("pose_tuple2_p2.pkl", (rotations.astype("f4"), shifts), 2)
save("pose_bodies_p5.pkl", (rotations, shifts, euler, np.zeros((N, 2, 3)), np.zeros((N, 2, 2))), 5)
save("pose_fortran_p3.pkl", [np.asfortranarray(rotations), np.asfortranarray(np.c_[shifts, 0 * i])], 3)
save("pose_big_endian_p4.pkl", rotations.astype(">f8"), 4)
save("ctf_p4.pkl", ctf.astype("f4"), 4)
save("ctf_p5.pkl", ctf, 5)
save("refused_call.pkl", (rotations[:1], Call()), 4)
save("refused_objects.pkl", np.array([{}, None], dtype=object), 4)
save("refused_dict.pkl", {"rot": rotations[:1]}, 4)
save("refused_mirror.pkl", rotations[:2] * [[1], [1], [-1]], 4)
save("refused_pixels.pkl", (rotations[:2], 5 + shifts[:2]), 4)

try:
    import torch
except ImportError:
    raise SystemExit

whole = torch.arange(24, dtype=torch.float32).reshape(4, 6)
values = {
    "mu": whole[:, :3].contiguous(),
    "part": whole[1:, 2:4],
    "turned": whole.t(),
    "learned": torch.nn.Parameter(torch.full((2,), 0.5)),
    "double": torch.tensor(2.25, dtype=torch.float64),
    "half": torch.tensor([1.5, -2.0], dtype=torch.float16),
    "whole": torch.tensor([1, -(2**40)]),
    "yes": torch.tensor([True, False]),
    "nothing": torch.zeros(0, 3),
    "nn": [np.zeros(0, np.int64) for _ in range(4)],
    "inner": {"layers": torch.nn.Linear(1, 1, bias=False).state_dict(), 7: None},
}
values["inner"]["layers"]["weight"].fill_(0.125)
here = os.path.dirname(os.path.abspath(__file__))
for name, zipped in (("torch.pkl", True), ("torch_old.pkl", False)):
    torch.save(values, os.path.join(here, name), _use_new_zipfile_serialization=zipped)
torch.save({"mu": whole.to(torch.bfloat16)}, os.path.join(here, "refused_bfloat.pkl"))
with open(os.path.join(here, "config.pkl"), "wb") as file:
    dataset = {"particles": "set/images.txt", "norm": [0, np.float32(2)], "ind": None, "ctf": "set/ctf.pkl", "poses": "set/poses.pkl", "downfrac": 0.75, "datadir": None}
    model = {"zdim": 8, "down_vol_size": 20, "Apix": torch.tensor(4.0), "templateres": 32, "z_affine_dim": 4, "activation": "relu"}
    pickle.dump({"dataset_args": dataset, "lattice_args": {"D": 33, "extent": 0.5, "ignore_DC": True}, "model_args": model, "seed": 1}, file)
    pickle.dump({"time": datetime.datetime(2023, 1, 2), "cmd": ["train_cv"], "version": "1.1.0"}, file)
