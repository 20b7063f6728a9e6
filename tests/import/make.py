#!/usr/bin/env python3
"""Writes runs of the original as PyTorch saves them, and the maps that their decoders give: make.py FOLDER NAME:first|second[:OPTION…] …

The modules below have the layers, names and buffers of the two revisions; what they are is known from the shapes in their files. Options:

module      networks wrapped for several GPUs, which puts `module.` into names
pieces      no `model_state_dict`, only those of encoder and decoder
old         PyTorch's format before 1.6
moved       weights, z, pose and CTF archives, config.pkl and nothing else: no images, and other folders than those in config.pkl
golden=DIR  full width, and the weights and the mask of the golden numbers in DIR (second revision)
lacks=NAME  without this tensor
extra=NAME  with a tensor of this name
bodies      a head for the poses of two bodies
one_row     volumes of 256³ (first revision), whose decoder names its layers otherwise: weights alone

Needs PyTorch and NumPy.
"""

import datetime
import json
import os
import pickle
import struct
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

PARTICLES = 24
APIX = 3.0


def configure(folder, words):
    """What the modules below are made by."""
    global OUT, OPTIONS, FIRST, GOLDEN, ONE_ROW, WIDTH, ZDIM, AFFINE, BOX, RENDER, CROP, TEMPLATE, GRID, EPOCHS
    name, revision, *options = words.split(":")
    OUT, FIRST = Path(folder) / name, revision == "first"
    OPTIONS = dict(word.partition("=")[::2] for word in options)
    GOLDEN, ONE_ROW = OPTIONS.get("golden"), "one_row" in OPTIONS
    WIDTH = 1 if GOLDEN else 4
    ZDIM, AFFINE = (3, 0) if FIRST else (4, 4)
    BOX, RENDER, CROP, TEMPLATE = (64, 64, 46, 64) if GOLDEN else (32, 24, 20, 256 if ONE_ROW else 32)
    GRID = 110 if FIRST else CROP
    EPOCHS = [1, 3] if options in ([], ["module"]) else [3]


def row(layer, channels, first, **shape):
    """A sequence of layers, each with its rectifier."""
    layers = []
    for channels in channels:
        layers += [layer(first, channels, **shape), nn.LeakyReLU(0.2)]
        first = channels
    return nn.Sequential(*layers)


def divided(*channels):
    return [c // WIDTH for c in channels]


class Grids(nn.Module):
    """Buffers that networks carry along."""

    def __init__(self, side, flat):
        super().__init__()
        self.register_buffer("grid", torch.zeros(1, side, side, side, 3))
        self.register_buffer("grid2d", torch.zeros(1, 1, flat, flat, 3))


class Encoder(nn.Module):
    def __init__(self, mask):
        super().__init__()
        halving = dict(kernel_size=4, stride=2, padding=1)
        last = 512 // WIDTH
        if FIRST:
            self.down1 = row(nn.Conv3d, divided(32, 64, 128, 256, 512, 512), 1, **halving)
            self.down2 = nn.Sequential(nn.Linear(last, last), nn.LeakyReLU(0.2))
        else:
            self.down1 = row(nn.Conv3d, divided(32, 64, 128), 1, **halving)
            self.down2 = row(nn.Conv3d, divided(256, 512, 512), 128 // WIDTH, **halving)
            self.down3 = nn.Sequential(nn.Linear(last, last), nn.LeakyReLU(0.2))
        self.mu = nn.Linear(last, ZDIM + AFFINE)
        self.logstd = nn.Linear(last, ZDIM + AFFINE)
        self.transformer_e = Grids(4, GRID)
        self.register_buffer("in_mask", mask)


class Template(nn.Module):
    def __init__(self):
        super().__init__()
        blocks, doubling = dict(kernel_size=2, stride=2), dict(kernel_size=4, stride=2, padding=1)
        dense, root = divided(512, 2048)
        self.template1 = row(nn.Linear, [dense, root], ZDIM)
        self.template2 = row(nn.ConvTranspose3d, divided(1024, 512), root, **blocks)
        before, after = (divided(256, 128, 64), divided(32, 16)) if FIRST else (divided(256, 128), divided(64, 32, 16))
        self.template3 = row(nn.ConvTranspose3d, before, 512 // WIDTH, **doubling)
        self.template4 = row(nn.ConvTranspose3d, after, before[-1], **doubling)
        self.conv_out = nn.ConvTranspose3d(16 // WIDTH, 1, **doubling)
        if not FIRST:
            self.affine_common = nn.Sequential(nn.Linear(AFFINE, dense), nn.LeakyReLU(0.2))
            self.affine_head = nn.Linear(dense, 12 if "bodies" in OPTIONS else 6)
        if ONE_ROW:
            self.template2 = nn.Sequential(*self.template2, *self.template3, *self.template4)
            del self.template3, self.template4

    def forward(self, z):
        x = self.template1(z).view(len(z), -1, 1, 1, 1)
        x = self.template3(self.template2(x))
        side = TEMPLATE // 8 if FIRST else TEMPLATE // 16
        return self.conv_out(self.template4(resized(x, side)))


class Decoder(nn.Module):
    def __init__(self, mask):
        super().__init__()
        self.template = Template()
        self.transformer = Grids(4, RENDER)
        self.register_buffer("ref_mask", mask)
        self.register_buffer("sphere_mask", torch.ones(1, CROP, CROP, CROP))
        self.register_buffer("grid_affine_weight", torch.zeros(1, 4, 4, 4, 3))
        self.register_buffer("mask_sum", torch.tensor(100.0))


class Model(nn.Module):
    def __init__(self, encoder, decoder):
        super().__init__()
        wrap = nn.DataParallel if "module" in OPTIONS else lambda network: network
        self.encoder, self.decoder = wrap(encoder), wrap(decoder)


def resized(volume, side):
    return functional.interpolate(volume, size=(side,) * 3, mode="trilinear", align_corners=True)


def soft_ball(side):
    axis = torch.linspace(-1, 1, side)
    radius = torch.sqrt(axis[:, None, None] ** 2 + (1.1 * axis[None, :, None]) ** 2 + (0.9 * axis[None, None, :]) ** 2)
    return ((0.9 - radius) * 5 + 0.5).clamp(0, 1)[None, None]


def golden_tensor(name, tensor):
    data = (Path(GOLDEN) / name).read_bytes()
    head = struct.unpack("<Q", data[:8])[0]
    entry = json.loads(data[8 : 8 + head])[tensor]
    start, end = (8 + head + place for place in entry["data_offsets"])
    kind = {"F16": "<f2", "F32": "<f4"}[entry["dtype"]]
    return torch.from_numpy(np.frombuffer(data[start:end], kind).astype("f4").reshape(entry["shape"]))


def golden_fill(network, salt, entries):
    """The weights of the golden numbers' README."""
    own = dict(network.named_parameters())
    with np.errstate(over="ignore"):
        for entry in entries:
            parameter = own.pop(entry["name"])
            x = np.arange(parameter.numel(), dtype="u8") + np.uint64((salt << 56) | (entry["i"] << 40)) + np.uint64(0x9E3779B97F4A7C15)
            x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            x ^= x >> np.uint64(31)
            u = (x >> np.uint64(40)).astype("f8") * 2.0**-23 - 1
            values = u.astype("f4") * np.float32(entry["scale"])
            parameter.data = torch.from_numpy(values.reshape(parameter.shape))
    assert not own, own.keys()


def even(value):
    return int(value) // 2 * 2


def masks():
    """The decoder's and the encoder's."""
    if not GOLDEN:
        return soft_ball(CROP), soft_ball(GRID)
    whole = golden_tensor("h_evalvola_0.safetensors", "mask_volume_f16").view(1, 1, BOX, BOX, BOX)
    keep = even(BOX * (CROP - 2) / RENDER)
    start = BOX // 2 - keep // 2
    cut = whole[:, :, start : start + keep, start : start + keep, start : start + keep]
    return resized(cut, CROP), soft_ball(GRID)


def rotations(euler):
    rot, tilt, psi = np.radians(euler).T
    zero, one = 0 * rot, 0 * rot + 1
    z = lambda t: np.array([[np.cos(t), np.sin(t), zero], [-np.sin(t), np.cos(t), zero], [zero, zero, one]]).transpose(2, 0, 1)
    y = np.array([[np.cos(tilt), zero, -np.sin(tilt)], [zero, one, zero], [np.sin(tilt), zero, np.cos(tilt)]]).transpose(2, 0, 1)
    return z(psi) @ y @ z(rot)


def write_stack(path, images):
    header = np.zeros(256, "<i4")
    header[:4] = [images.shape[2], images.shape[1], images.shape[0], 2]
    header[7:10] = header[:3]
    header.view("<f4")[10:13] = np.array(images.shape[::-1]) * APIX
    header[16:19] = [1, 2, 3]
    header[52:54] = np.frombuffer(b"MAP \x44\x44\x00\x00", "<i4")
    path.write_bytes(header.tobytes() + images.astype("<f4").tobytes())


def main():
    torch.manual_seed(5)
    torch.set_num_threads(1)
    OUT.mkdir(parents=True)
    decoder_mask, encoder_mask = masks()
    encoder, decoder = Encoder(encoder_mask), Decoder(decoder_mask)
    if GOLDEN:
        params = json.loads((Path(GOLDEN) / "params.json").read_text())
        golden_fill(encoder, params["encoder_salt"], params["encoder"])
        golden_fill(decoder, params["decoder_salt"], params["decoder"])
    model = Model(encoder, decoder)
    if GOLDEN:
        optimizer = {"state": {}, "param_groups": []}
    else:
        adam = torch.optim.AdamW(encoder.mu.parameters(), lr=1e-4)
        sum(p.square().sum() for p in encoder.mu.parameters()).backward()
        adam.step()
        optimizer = adam.state_dict()
    zipped = "old" not in OPTIONS
    index = np.arange(PARTICLES)
    for epoch in EPOCHS:
        state = {
            "epoch": epoch,
            "model_state_dict": model.state_dict(),
            "encoder_state_dict": encoder.state_dict(),
            "decoder_state_dict": decoder.state_dict(),
            "optimizer_state_dict": optimizer,
            "pose_state_dict": {},
            "pose_optimizer_state_dict": None,
        }
        state["model_state_dict"].pop(OPTIONS.get("lacks"), None)
        if "extra" in OPTIONS:
            state["model_state_dict"][OPTIONS["extra"]] = torch.zeros(2)
        if "pieces" in OPTIONS:
            del state["model_state_dict"]
        elif GOLDEN:
            del state["encoder_state_dict"], state["decoder_state_dict"]
        torch.save(state, OUT / f"weights.{epoch}.pkl", _use_new_zipfile_serialization=zipped)
        mu = torch.randn(PARTICLES, ZDIM)
        mu[: PARTICLES // 2, 0] += 6
        if GOLDEN:
            mu[0] = golden_tensor("h_evalvola_0.safetensors", "z")
        latents = {"mu": mu, "nn": [np.zeros(0, np.int64) for _ in index]}
        if not FIRST:
            latents["multi_mu"] = torch.randn(PARTICLES, AFFINE)
        torch.save(latents, OUT / f"z.{epoch}.pkl", _use_new_zipfile_serialization=zipped)
    np.save(OUT / "expected_z.npy", mu.numpy())

    if not ONE_ROW:
        with torch.no_grad():
            volume = resized(decoder.template(mu[:2]), CROP)
            expected = volume if FIRST else volume * decoder_mask
        np.save(OUT / "expected.npy", expected[:, 0].numpy())

    euler = np.stack([15.0 * index - 170, 5.0 * index + 20, 150.0 - 11 * index], axis=1)
    shifts = np.stack([index / 800, -index / 1600], axis=1)
    rest = [12000 + 100 * index, 11800 + 100 * index, 0 * index + 30, 0 * index + 300, 0 * index + 2.7, 0 * index + 0.1, 0 * index]
    ctf = np.stack([0 * index + BOX, 0 * index + APIX, *rest], axis=1)
    with open(OUT / "poses.pkl", "wb") as file:
        pickle.dump((rotations(euler), shifts, euler), file)
    with open(OUT / "ctf.pkl", "wb") as file:
        pickle.dump(ctf.astype("f4"), file)
    moved = "moved" in OPTIONS
    folder = Path("/somewhere/else") if moved else OUT
    if not moved:
        images = np.random.default_rng(1).normal(size=(PARTICLES, BOX, BOX))
        write_stack(OUT / "images.mrcs", images)
    config = {
        "dataset_args": {
            "particles": str(folder / "images.mrcs"),
            "norm": [0, np.float32(2.0)],
            "invert_data": True,
            "ind": None,
            "keepreal": False,
            "window": True,
            "window_r": 0.85,
            "datadir": None,
            "ctf": str(folder / "ctf.pkl"),
            "poses": str(folder / "poses.pkl"),
            "do_pose_sgd": False,
            "real_data": True,
            "downfrac": RENDER / BOX,
        },
        "lattice_args": {"D": BOX + 1, "extent": 0.5, "ignore_DC": True},
        "model_args": {
            "qlayers": 3,
            "zdim": ZDIM,
            "encode_mode": "grad",
            "domain": "fourier",
            "activation": "relu",
            "template_type": "conv",
            "down_vol_size": CROP,
            "Apix": torch.tensor(APIX * BOX / RENDER),
            "templateres": TEMPLATE,
        },
        "seed": 12345,
    }
    if not FIRST:
        config["model_args"]["z_affine_dim"] = AFFINE
    with open(OUT / "config.pkl", "wb") as file:
        pickle.dump(config, file)
        pickle.dump({"time": datetime.datetime(2023, 1, 2), "cmd": sys.argv, "version": "0.3.2b"}, file)



# Each in a process of its own, PyTorch loaded once.
for words in sys.argv[2:]:
    child = os.fork()
    if child == 0:
        configure(sys.argv[1], words)
        main()
        sys.stdout.flush()
        os._exit(0)
    if os.waitpid(child, 0)[1] != 0:
        sys.exit(f"{words} failed")
