//! Geometry and CTF against numbers measured from the original program, over every case in `GOLDEN_DIR` (default: `tests/data/golden`).

use opus_dsd_cryoem::ctf::Ctf;
use opus_dsd_cryoem::geometry::{self, Euler, Hopf, Matrix3};
use opus_dsd_cryoem::healpix;
use safetensors::SafeTensors;
use std::path::{Path, PathBuf};

/// A file's tensors as f64.
struct Case {
    name: String,
    bytes: Vec<u8>,
}

impl Case {
    /// Values of a tensor, or none if the case has no such tensor.
    fn get(&self, tensor: &str) -> Option<Vec<f64>> {
        let file = SafeTensors::deserialize(&self.bytes).expect("golden file");
        let view = file.tensor(tensor).ok()?;
        let data = view.data();
        Some(match view.dtype() {
            safetensors::Dtype::F32 => data.as_chunks().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect(),
            safetensors::Dtype::F64 => data.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
            safetensors::Dtype::I64 => data.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b) as f64).collect(),
            other => panic!("{tensor} of {} is {other:?}", self.name),
        })
    }

    fn values(&self, tensor: &str) -> Vec<f64> {
        self.get(tensor).unwrap_or_else(|| panic!("{} lacks {tensor}", self.name))
    }

    fn rows<const N: usize>(&self, tensor: &str) -> Vec<[f64; N]> {
        self.values(tensor).as_chunks().0.to_vec()
    }

    fn matrices(&self, tensor: &str) -> Vec<Matrix3> {
        self.rows::<9>(tensor).into_iter().map(|m| [[m[0], m[1], m[2]], [m[3], m[4], m[5]], [m[6], m[7], m[8]]]).collect()
    }
}

fn cases(prefix: &str) -> Vec<Case> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/golden");
    let folder = std::env::var_os("GOLDEN_DIR").map_or(default, PathBuf::from);
    let mut found: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.expect("entry").path())
        .filter(|p| {
            p.extension().is_some_and(|e| e == "safetensors") && p.file_stem().is_some_and(|s| s.to_string_lossy().starts_with(prefix))
        })
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no case `{prefix}*.safetensors` in {}", folder.display());
    let name = |p: &Path| p.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    found.iter().map(|p| Case { name: name(p), bytes: std::fs::read(p).expect("golden file") }).collect()
}

fn close(a: &Matrix3, b: &Matrix3, tolerance: f64, what: &str) {
    for (p, q) in a.iter().flatten().zip(b.iter().flatten()) {
        assert!((p - q).abs() <= tolerance, "{what}: {a:?} against {b:?}");
    }
}

fn close_deg(a: f64, b: f64, tolerance: f64, what: &str) {
    assert!(geometry::wrap_deg(a - b).abs() <= tolerance, "{what}: {a} against {b} degrees");
}

/// The sine below which the original's single precision cannot tell rot and psi apart.
const NEAR_POLE: f64 = 0.02;

#[test]
fn angles() {
    for case in cases("a_angles") {
        let eulers: Vec<Euler> = case.rows("euler_deg").into_iter().map(|[r, t, p]| Euler::new(r, t, p)).collect();
        let hopfs: Vec<Hopf> =
            case.rows("hopf_deg").into_iter().map(|[phi_deg, theta_deg, psi_deg]| Hopf { phi_deg, theta_deg, psi_deg }).collect();
        let (relion, single) = (case.matrices("R_from_relion"), case.matrices("R_f32"));
        let (hopf3, hopf2, hopf1) = (case.matrices("R_from_hopf3"), case.matrices("R_from_hopf2"), case.matrices("R_from_hopf1_psi"));
        let (yrot, zrot, quaternions) = (case.matrices("yrot_tilt"), case.matrices("zrot_psi"), case.rows::<4>("quat_wxyz"));
        let (of_quaternion, directions) = (case.matrices("R_of_quat"), case.rows::<3>("hopf_direction"));
        let (back, of_r, classes) = (case.rows::<3>("euler_back_deg"), case.rows::<3>("euler_of_R"), case.values("healpix_nside2_nest"));
        for i in 0..eulers.len() {
            let what = format!("{} row {i}", case.name);
            let (euler, hopf) = (eulers[i], hopfs[i]);
            let a = euler.matrix();
            close(&a, &relion[i], 1e-12, &what);
            close(&a, &single[i], 1e-6, &what);
            close(&geometry::rotation_y(euler.tilt_deg.to_radians()), &yrot[i], 1e-6, &what);
            close(&geometry::rotation_z(euler.psi_deg.to_radians()), &zrot[i], 1e-6, &what);
            close(&geometry::of_quaternion(quaternions[i]), &of_quaternion[i], 1e-5, &what);
            close(&hopf.matrix(), &hopf3[i], 1e-5, &what);
            close(&Hopf { psi_deg: 0.0, ..hopf }.matrix(), &hopf2[i], 1e-5, &what);
            close(&Hopf { psi_deg: hopf.psi_deg, ..Hopf::default() }.matrix(), &hopf1[i], 1e-5, &what);
            close(&Hopf::of_euler(euler).matrix(), &a, 1e-12, &what);
            // The stored angles passed through single precision, which costs up to half a milliradian near the poles.
            close(&hopf.matrix(), &a, 1e-3, &what);
            close(&Euler::new(back[i][0], back[i][1], back[i][2]).matrix(), &a, 1e-3, &what);
            close(&Euler::new(of_r[i][0], of_r[i][1], of_r[i][2]).matrix(), &a, 1e-5, &what);
            for (p, q) in hopf.direction().into_iter().zip(directions[i]) {
                assert!((p - q).abs() < 1e-6, "{what}: direction");
            }
            if euler.tilt_deg.to_radians().sin().abs() > NEAR_POLE {
                assert_eq!(hopf.view_class() as f64, classes[i], "{what}: view class");
                let (ours, our_back) = (Hopf::of_euler(euler), Euler::of_matrix(&a));
                close_deg(ours.phi_deg, hopf.phi_deg, 1e-3, &what);
                close_deg(ours.theta_deg, hopf.theta_deg, 1e-3, &what);
                close_deg(ours.psi_deg, hopf.psi_deg, 1e-3, &what);
                for (p, q) in [our_back.rot_deg, our_back.tilt_deg, our_back.psi_deg].into_iter().zip(of_r[i]) {
                    close_deg(p, q, 1e-3, &what);
                }
            }
        }
    }
}

#[test]
fn healpix_pixels() {
    let with_grid: Vec<Case> = cases("a_angles").into_iter().filter(|c| c.get("hp_nside32_pix").is_some()).collect();
    assert!(!with_grid.is_empty(), "no case of `a_angles` holds pixels");
    for case in with_grid {
        let check = |nside: u32, pixel: u64, [theta, phi]: [f64; 2]| {
            let (our_theta, our_phi) = healpix::angles_of_pixel(nside, pixel);
            assert!((our_theta - theta).abs() < 1e-12 && (our_phi - phi).abs() < 1e-12, "{} nside {nside} pixel {pixel}", case.name);
            assert_eq!(healpix::pixel_of_angles(nside, theta, phi), pixel);
        };
        for (pixel, angles) in case.rows("hp_nside2_theta_phi_rad").into_iter().enumerate() {
            check(2, pixel as u64, angles);
        }
        let (pixels, around) = (case.values("hp_nside32_pix"), case.rows::<8>("hp_nside32_neighbours"));
        for ((pixel, angles), expected) in pixels.into_iter().zip(case.rows("hp_nside32_theta_phi_rad")).zip(around) {
            check(32, pixel as u64, angles);
            let ours = healpix::neighbours(32, pixel as u64).map(|p| p.map_or(-1.0, |p| p as f64));
            assert_eq!(ours, expected, "{} neighbours of {pixel}", case.name);
        }
    }
}

#[test]
fn local_poses() {
    for case in cases("a_localposes") {
        let (expected, matrices, counts) =
            (case.rows::<2>("out_hopf_phi_theta_deg"), case.matrices("R_of_out"), case.values("n_deterministic"));
        for (i, [phi, theta]) in case.rows("in_hopf_phi_theta_deg").into_iter().enumerate() {
            let ours = geometry::healpix_hypotheses(phi, theta);
            assert_eq!(ours.len() as f64, counts[i], "{} row {i}", case.name);
            for (j, pose) in ours.into_iter().enumerate() {
                let what = format!("{} row {i} pose {j}", case.name);
                close_deg(pose.phi_deg, expected[8 * i + j][0], 1e-4, &what);
                close_deg(pose.theta_deg, expected[8 * i + j][1], 1e-4, &what);
                close(&pose.matrix(), &matrices[8 * i + j], 2e-6, &what);
            }
        }
    }
}

#[test]
fn translations() {
    for case in cases("a_trans") {
        let (box_px, apix) = (case.values("D")[0], case.values("apix")[0]);
        let (px, angstrom) = (case.rows::<2>("origin_px"), case.rows::<2>("origin_angst"));
        let (from_px, from_angstrom, training) =
            (case.rows::<2>("trans_frac_from_px"), case.rows::<2>("trans_frac_from_angst"), case.rows::<2>("trans_px_in_training"));
        let (eulers, rotations) = (case.rows::<3>("euler_deg"), case.matrices("rot"));
        for i in 0..px.len() {
            for axis in 0..2 {
                // Both conventions of the STAR file say the same shift, without a change of sign.
                assert!((px[i][axis] / box_px - from_px[i][axis]).abs() < 1e-12, "{} row {i}", case.name);
                assert!((angstrom[i][axis] / apix / box_px - from_angstrom[i][axis]).abs() < 1e-12, "{} row {i}", case.name);
                assert!((px[i][axis] - training[i][axis]).abs() < 1e-6, "{} row {i}", case.name);
            }
            close(&Euler::new(eulers[i][0], eulers[i][1], eulers[i][2]).matrix(), &rotations[i], 1e-12, &case.name);
        }
    }
}

#[test]
fn saved_poses() {
    for case in cases("a_posesave") {
        let (out, rotations) = (case.rows::<3>("euler_out_deg"), case.matrices("rot_out"));
        for (i, [rot, tilt, psi]) in case.rows("euler_in_deg").into_iter().enumerate() {
            let what = format!("{} row {i}", case.name);
            let saved = Hopf::of_euler(Euler::new(rot, tilt, psi)).euler();
            close(&saved.matrix(), &rotations[i], 1e-3, &what);
            if tilt.to_radians().sin().abs() > NEAR_POLE {
                close(&saved.matrix(), &rotations[i], 2e-5, &what);
                for (p, q) in [saved.rot_deg, saved.tilt_deg, saved.psi_deg].into_iter().zip(out[i]) {
                    close_deg(p, q, 1e-3, &what);
                }
            }
        }
        let (before, after) = (case.values("trans_frac_in"), case.values("trans_frac_out"));
        assert!(before.iter().zip(&after).all(|(p, q)| (p - q).abs() < 1e-6), "{}: translations", case.name);
    }
}

#[test]
fn transfer_functions() {
    for case in cases("b_ctf") {
        let (n, crop) = (case.values("D")[0] as usize, case.values("crop_size")[0] as usize);
        let (apix, bfactor) = (case.values("apix")[0], case.values("bfactor")[0]);
        let frequencies = case.rows::<2>("freqs_xy_cyc_per_px");
        let (double, plain, damped) = (case.values("ctf_fp64"), case.values("ctf_nob"), case.values("ctf_bfactor"));
        let cropped = case.values("ctf_bfactor_cropped");
        let (plane, small) = (n * (n / 2 + 1), crop * (crop / 2 + 1));
        for (i, [u, v, angle, kv, cs, w, phase]) in case.rows("params_dfu_dfv_dfang_kv_cs_w_ps").into_iter().enumerate() {
            let sharp = Ctf {
                defocus_u_angstrom: u,
                defocus_v_angstrom: v,
                defocus_angle_deg: angle,
                voltage_kv: kv,
                cs_mm: cs,
                amplitude_contrast: w,
                phase_shift_deg: phase,
                b_factor_angstrom2: 0.0,
                scale: 1.0,
            };
            // The original's envelope is exp(−bfactor π² s²).
            let soft = Ctf { b_factor_angstrom2: 4.0 * std::f64::consts::PI.powi(2) * bfactor, ..sharp };
            let near = |ours: f64, theirs: f64, tolerance: f64, what: &str| {
                assert!((ours - theirs).abs() < tolerance, "{} row {i} {what}: {ours} against {theirs}", case.name);
            };
            for (j, stored) in frequencies.iter().enumerate() {
                // The stored frequencies are rounded to single precision; they are multiples of 1/n.
                let [fx, fy] = stored.map(|f| (f * n as f64).round() / n as f64);
                // Single-precision constants remain in the stored double-precision values: they agree to about 2e-6.
                near(soft.at(fx / apix, fy / apix), double[i * plane + j], 1e-5, "double precision");
                near(sharp.at(fx / apix, fy / apix), plain[i * plane + j], 1e-4, "single precision");
                near(soft.at(fx / apix, fy / apix), damped[i * plane + j], 1e-4, "with B-factor");
            }
            let ours = soft.half_plane(crop, apix * n as f64 / crop as f64);
            assert_eq!(ours.len(), small);
            for (p, q) in ours.into_iter().zip(&cropped[i * small..][..small]) {
                near(f64::from(p), *q, 1e-4, "cropped half plane");
            }
            // The full plane's Nyquist row has the other sign there (+0.5); all other rows are the same.
            let ours = sharp.half_plane(n, apix);
            for (j, value) in ours.into_iter().enumerate().filter(|(j, _)| j / (n / 2 + 1) != n / 2) {
                near(f64::from(value), plain[i * plane + j], 1e-4, "half plane");
            }
        }
    }
}
