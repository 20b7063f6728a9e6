"""Particle tables as the generations of RELION write them, with the quirks that files in the field have; numbers mean nothing."""
import random

ROWS = 24


def table(name, labels, rows, numbered=True, version=None, lead=""):
    text = f"\n# version {version}\n\n" if version else "\n"
    text += f"data_{name}\n\nloop_ \n"
    text += "".join(f"{lead}_{label}{f' #{i + 1}' if numbered else ''} \n" for i, label in enumerate(labels))
    return text + "".join(" ".join(row) + " \n" for row in rows) + " \n"


def poses(r):
    return [f"{r.uniform(-180, 180):12.6f}", f"{r.uniform(0, 180):12.6f}", f"{r.uniform(-180, 180):12.6f}"]


def defocus(r):
    return [f"{r.uniform(9000, 20000):13.6f}", f"{r.uniform(9000, 20000):13.6f}", f"{r.uniform(0, 180):12.6f}"]


def write(file, text):
    with open(file, "w") as out:
        out.write(text)


r = random.Random(1)
labels = "rlnImageName rlnMicrographName rlnVoltage rlnSphericalAberration rlnAmplitudeContrast rlnMagnification rlnDetectorPixelSize rlnAngleRot rlnAngleTilt rlnAnglePsi rlnOriginX rlnOriginY rlnDefocusU rlnDefocusV rlnDefocusAngle rlnClassNumber rlnRandomSubset"
rows = [
    [f"{i + 1:06d}@Extract/job007/a.mrcs", f"mic_{i // 4:02d}.mrc", "300.000000", "2.700000", "0.100000", "50000.000000", "7.000000"]
    + poses(r) + [f"{r.uniform(-5, 5):9.6f}", f"{r.uniform(-5, 5):9.6f}"] + defocus(r) + [str(1 + i % 3), str(1 + i % 2)]
    for i in range(ROWS)
]
write("relion30.star", table("images", labels.split(), rows))

labels = "rlnCoordinateX rlnCoordinateY rlnImageName rlnMicrographName rlnOpticsGroup rlnDefocusU rlnDefocusV rlnDefocusAngle rlnAngleRot rlnAngleTilt rlnAnglePsi rlnOriginXAngst rlnOriginYAngst rlnClassNumber rlnRandomSubset rlnGroupName"
rows = [
    [f"{r.uniform(0, 4000):12.6f}", f"{r.uniform(0, 4000):12.6f}", f"{i + 1:06d}@Extract/job007/b.mrcs", f"MotionCorr/job002/mic_{i // 4:02d}.mrc", str(1 + i % 2)]
    + defocus(r) + poses(r) + [f"{r.uniform(-5, 5):9.6f}", f"{r.uniform(-5, 5):9.6f}", str(1 + i % 3), str(1 + i % 2), f"group_{i // 6}"]
    for i in range(ROWS)
]
optics = "rlnOpticsGroupName rlnOpticsGroup rlnMicrographOriginalPixelSize rlnVoltage rlnSphericalAberration rlnAmplitudeContrast rlnImagePixelSize rlnImageSize rlnImageDimensionality"
groups = [
    ["opticsGroup1", "1", "0.700000", "300.000000", "2.700000", "0.100000", "1.400000", "256", "2"],
    ["opticsGroup2", "2", "0.880000", "200.000000", "1.400000", "0.100000", "1.760000", "256", "2"],
]
write("relion31.star", table("optics", optics.split(), groups, version=30001) + table("particles", labels.split(), rows, version=30001))

optics4 = optics + " rlnCtfDataAreCtfPremultiplied rlnBeamTiltX rlnBeamTiltY rlnEvenZernike"
groups4 = [group + ["0", "0.110000", "-0.250000", "[0.5,-1.25,3]"] for group in groups]
write("relion4.star", "# made elsewhere\n" + table("optics", optics4.split(), groups4, version=30001) + table("particles", labels.split(), rows, version=30001))

labels5 = labels + " rlnHelicalTubeID"
rows5 = [row + [str(i % 5)] for i, row in enumerate(rows)]
write("relion5.star", table("general", ["rlnParticlesNote"], [["kept"]], version=50001) + table("particles", labels5.split(), rows5, version=50001) + table("optics", optics4.split(), groups4, version=50001))
