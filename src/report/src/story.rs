//! What a report tells; filled by the job, drawn here.

use crate::subject::Subject;
use crate::verdict::Verdict;
use analysis::{Clusters, Pca};
use contract::{Clustering, Comparison, Drift, LossTerms, Nuisance};
use ndarray::{Array2, Array3};

/// Everything that a report shows. Empty parts leave their page out.
#[derive(Clone, Debug)]
pub struct Story {
    /// What it is of.
    pub subject: Subject,
    /// What the job is called, such as `External/job007`.
    pub title: String,
    /// Epoch whose latents are shown.
    pub epoch: usize,
    /// Of the latents and their pictures, so that a region drawn on them is known again.
    pub fingerprint: String,
    /// One line below it: what was done to what.
    pub subtitle: String,
    /// Facts and decided settings, as pairs of name and value with unit.
    pub facts: Vec<(String, String)>,
    /// What is said first; none: the verdict on the training's epochs.
    pub verdict: Option<Verdict>,
    /// What people should know before they trust the result.
    pub warnings: Vec<String>,
    /// What to do with the result, most telling first.
    pub next_steps: Vec<NextStep>,
    /// The command that takes the particles of a region drawn in the report, saved as `selection.json`.
    pub region_command: String,
    /// One entry an epoch, in order.
    pub epochs: Vec<EpochRecord>,
    /// Latents of all particles, `[n, d]`.
    pub latents: Array2<f32>,
    /// Other particles in the same latent space, drawn beneath these.
    pub ground: Option<Ground>,
    /// Principal components that the latents are shown along.
    pub pca: Pca,
    /// Their clusters.
    pub clusters: Clusters,
    /// How these were made, and what speaks for their number.
    pub clustering: Option<Clustering>,
    /// Other views of the latents in two dimensions, such as UMAP.
    pub embeddings: Vec<Embedding>,
    /// Figures of every particle that points can be coloured by, such as the defocus; the most telling first.
    pub columns: Vec<Column>,
    /// How many of these, from the first, were asked for: they have room before all else.
    pub columns_asked: usize,
    /// What particles have in common, such as the micrograph; points can be coloured by it.
    pub groupings: Vec<Grouping>,
    /// Maps along ways through the latents.
    pub ways: Vec<Way>,
    /// Projection class of each particle (HEALPix pixel of nside 2, nested, 0 to 47), `[n]`; empty where views are not known.
    pub view_classes: Vec<usize>,
    /// What the latents know that they should not.
    pub nuisances: Vec<Nuisance>,
    /// Another job or epoch held against this one.
    pub comparison: Option<Comparison>,
    /// Map that all states are compared with (the base volume or the consensus), `[z][y][x]`.
    pub reference: Option<Array3<f32>>,
    /// One entry a cluster that is shown, in order.
    pub states: Vec<State>,
    /// The files of maps hold them with their sign turned; all maps here have positive protein.
    pub files_inverted: bool,
    /// How the states differ beyond their difference maps.
    pub differences: Option<Differences>,
    /// Voxel size of the maps, Å.
    pub apix: f64,
    /// Pictures of a few particles.
    pub panels: Vec<ImagePanels>,
    /// Pixel size of these pictures, Å.
    pub image_apix: f64,
}

impl Story {
    /// A story of latents and nothing else yet.
    #[must_use]
    pub fn of(subject: Subject, title: &str, latents: Array2<f32>, pca: Pca, clusters: Clusters) -> Self {
        Self {
            subject,
            title: title.to_owned(),
            epoch: 0,
            fingerprint: String::new(),
            subtitle: String::new(),
            facts: Vec::new(),
            verdict: None,
            warnings: Vec::new(),
            next_steps: Vec::new(),
            region_command: String::new(),
            epochs: Vec::new(),
            latents,
            ground: None,
            pca,
            clusters,
            clustering: None,
            embeddings: Vec::new(),
            columns: Vec::new(),
            columns_asked: 0,
            groupings: Vec::new(),
            ways: Vec::new(),
            view_classes: Vec::new(),
            nuisances: Vec::new(),
            comparison: None,
            reference: None,
            states: Vec::new(),
            files_inverted: false,
            differences: None,
            apix: 0.0,
            panels: Vec::new(),
            image_apix: 0.0,
        }
    }
}

/// Something to do with a result. Words that are to be typed or found as they stand go between backticks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextStep {
    /// What it is good for, without a full stop.
    pub what: String,
    /// The command that does it, as a shell takes it in the folder that the job was started in.
    pub command: String,
    /// What to choose in RELION's window.
    pub relion: String,
    /// What to choose in Scipion's.
    pub scipion: String,
    /// What to run in the CCP-EM Pipeliner or Doppio.
    pub pipeliner: String,
}

/// Particles that others are held against.
#[derive(Clone, Debug)]
pub struct Ground {
    /// What they are, such as `particles that the model was trained on`.
    pub name: String,
    /// `[any, d]`.
    pub latents: Array2<f32>,
}

/// Two coordinates a particle.
#[derive(Clone, Debug)]
pub struct Embedding {
    /// For people, such as `UMAP`.
    pub name: String,
    /// `[n, 2]`.
    pub points: Array2<f32>,
}

/// A figure a particle.
#[derive(Clone, Debug)]
pub struct Column {
    /// For people, with its unit.
    pub name: String,
    /// `[n]`; what is not finite is not shown.
    pub values: Vec<f32>,
}

/// Groups that the particles fall into.
#[derive(Clone, Debug)]
pub struct Grouping {
    /// For people, such as `micrograph`.
    pub name: String,
    /// Names of the groups, fewer than 65,536.
    pub names: Vec<String>,
    /// Group of each particle, from 0, `[n]`.
    pub of: Vec<usize>,
}

/// Maps along a way through the latents.
#[derive(Clone, Debug)]
pub struct Way {
    /// For people, such as `principal component 1`.
    pub name: String,
    /// Name of its script and movie, without extension.
    pub stem: String,
    /// Folder of the maps, relative to the job; empty for the job's own.
    pub folder: String,
    /// In order, `[z][y][x]`.
    pub maps: Vec<Array3<f32>>,
}

impl Way {
    /// Whether there is anything to play.
    pub(crate) fn moves(&self) -> bool {
        self.maps.len() > 1
    }

    /// File of a map, relative to the job.
    pub(crate) fn file(&self, map: usize) -> String {
        if self.folder.is_empty() { format!("vol_{map:03}.mrc") } else { format!("{}/vol_{map:03}.mrc", self.folder) }
    }
}

/// An epoch's figures.
#[derive(Clone, Copy, Debug)]
pub struct EpochRecord {
    /// Epoch, from 1.
    pub epoch: usize,
    /// Mean loss terms over the training images, weights applied.
    pub terms: LossTerms,
    /// Mean reconstruction loss over the validation images.
    pub validation: Option<f64>,
    /// Mean Kullback–Leibler divergence, nats.
    pub kl_nats: f64,
    /// Latent dimensions in use.
    pub active_dimensions: usize,
    /// Estimated signal-to-noise ratio.
    pub snr: f64,
    /// How far the latents moved since the epoch before, where that is known.
    pub drift: Option<Drift>,
}

/// A cluster's map.
#[derive(Clone, Debug)]
pub struct State {
    /// Cluster, from 1.
    pub class: usize,
    /// Particles in it.
    pub particles: usize,
    /// Its map, `[z][y][x]`.
    pub map: Array3<f32>,
    /// That map's file, relative to the job.
    pub file: String,
    /// What else is to be said of it.
    pub note: Option<String>,
    /// What it has more and less than the consensus.
    pub difference: Option<Difference>,
    /// What its particles say by themselves.
    pub evidence: Option<Evidence>,
}

/// A state less the consensus.
#[derive(Clone, Debug)]
pub struct Difference {
    /// `[z][y][x]`, as the state's map.
    pub map: Array3<f32>,
    /// Its root mean square as a part of the consensus'.
    pub of_consensus: f64,
}

/// A state reconstructed from the particles near it, in two halves.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// Mean of the halves, sharpened, `[z][y][x]`.
    pub map: Array3<f32>,
    /// Its file, relative to the job.
    pub file: String,
    /// Local resolution, Å, of the same box; 0 outside the mask.
    pub local_angstrom: Array3<f32>,
    /// Number of particles of weight 1 that carry as much.
    pub effective_particles: f64,
    /// Where the halves' correlation falls below 0.143, Å.
    pub resolution_angstrom: Option<f64>,
    /// Where it falls below 0.5, Å.
    pub resolution_half_angstrom: Option<f64>,
    /// Where the correlation with the decoded map falls below 0.5, Å.
    pub decoded_agrees_angstrom: Option<f64>,
    /// Median of the local resolution, Å.
    pub local_median_angstrom: Option<f64>,
    /// B-factor that `map` is sharpened by, Å².
    pub b_factor_angstrom2: Option<f64>,
    /// Correlation of the halves: spatial frequency in 1/Å, and value.
    pub fsc: Vec<(f64, f64)>,
    /// Correlation of the decoded map with these data.
    pub decoded_fsc: Vec<(f64, f64)>,
}

/// How the states differ.
#[derive(Clone, Debug)]
pub struct Differences {
    /// Finest detail that was compared, Å.
    pub detail_angstrom: f64,
    /// The part that was asked about.
    pub part: Option<Part>,
    /// How much every voxel varies.
    pub variability: Option<Variability>,
}

/// A part of the molecule in every state.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its mask's file.
    pub mask: String,
    /// Of each state (from 1) how much of the mask lies above each contour level (a part of the density in the consensus' midst), 0 to 1.
    pub occupancy: Vec<(usize, Vec<(f64, f64)>)>,
    /// Between states.
    pub motions: Vec<PartMotion>,
}

/// The rigid motion of a part from one state to another.
#[derive(Clone, Copy, Debug)]
pub struct PartMotion {
    /// State, from 1.
    pub from: usize,
    /// State, from 1.
    pub to: usize,
    /// Rotation, degrees.
    pub angle_deg: f64,
    /// Length of the shift, Å.
    pub shift_angstrom: f64,
    /// Correlation of the two maps inside the mask, as they lie.
    pub correlation_before: f64,
    /// The same after the motion.
    pub correlation_after: f64,
}

/// Moments of every voxel over maps decoded at particles.
#[derive(Clone, Debug)]
pub struct Variability {
    /// Number of maps.
    pub maps: usize,
    /// Their mean, `[z][y][x]`.
    pub mean: Array3<f32>,
    /// Standard deviation of every voxel.
    pub deviation: Array3<f32>,
}

/// The six pictures of one particle, all `[y][x]` and of one pixel size, in the order in which they are shown.
#[derive(Clone, Debug)]
pub struct ImagePanels {
    /// Row of the particle, from 1.
    pub particle: usize,
    /// Projection of the decoded volume.
    pub projection: Array2<f32>,
    /// The same with the particle's CTF (and B-factor).
    pub ctf_projection: Array2<f32>,
    /// The particle's image inside the projected mask.
    pub masked_image: Array2<f32>,
    /// What the encoder was shown.
    pub encoder_input: Array2<f32>,
    /// Reconstruction inside the mask.
    pub reconstruction: Array2<f32>,
    /// The particle's image as prepared.
    pub image: Array2<f32>,
}
