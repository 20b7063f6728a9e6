//! What a report is of, and the words that follow from it: pages and paper say the same.

/// What a report is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// States that were found in the latents.
    States,
    /// Particles that were given to the states of another job.
    Encoded,
    /// Maps of chosen latents; every particle belongs to the map whose latent is nearest.
    Maps,
    /// Latents that are not divided yet.
    Latents,
}

impl Subject {
    /// What a class of particles is.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::States | Self::Encoded => "state",
            Self::Maps => "map",
            Self::Latents => "particles",
        }
    }

    /// A class by its number, from 1.
    pub(crate) fn name(self, class: usize) -> String {
        match self {
            Self::Latents => "not divided yet".to_owned(),
            _ => format!("{} {class}", self.noun()),
        }
    }

    /// The same at the beginning of a line.
    pub(crate) fn heading(self, class: usize) -> String {
        let name = self.name(class);
        let mut letters = name.chars();
        letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
    }

    /// What points are coloured by when nothing else is chosen.
    pub(crate) fn division(self) -> &'static str {
        match self {
            Self::States | Self::Encoded => "state",
            Self::Maps => "nearest map",
            Self::Latents => "one colour",
        }
    }

    /// Of the chart of the latents by class.
    pub(crate) fn by_division(self, classes: usize) -> String {
        match self {
            Self::States | Self::Encoded => format!("By cluster ({classes})"),
            Self::Maps => format!("By the nearest of {classes} maps"),
            Self::Latents => "All particles".to_owned(),
        }
    }

    /// What the picture of the latents shows.
    pub(crate) fn of_crowd(self) -> &'static str {
        match self {
            Self::States => {
                "Each point is a particle; near points look alike to the model. Crowds that are parted are states; one cloud without gaps is a continuous \
                 change. Colour by defocus, view or micrograph too: if such a colour follows the shape of the cloud, the model has learned how images were \
                 taken rather than what they show."
            }
            Self::Encoded => {
                "Each coloured point is a particle that was encoded; the grey ones beneath are those that the model was trained on, along the same axes. Where \
                 colour lies on grey, the model knows such particles. Colour beside the grey is of a kind that it has not seen: such states mean little."
            }
            Self::Maps => {
                "Each point is a particle of the trained job, in the colour of the map whose latent is nearest; numbers stand where the maps were decoded. A map \
                 in the midst of a crowd is backed by particles; one where no particle lies is made up."
            }
            Self::Latents => {
                "Each point is a particle; near points look alike to the model. Crowds that are parted may be states; one cloud without gaps is a continuous change. \
                 Colour by defocus, view or micrograph: if such a colour follows the shape of the cloud, the model has learned how images were taken."
            }
        }
    }

    /// Heading of the maps.
    pub(crate) fn of_maps(self) -> &'static str {
        if self == Self::Maps { "Maps" } else { "States" }
    }

    /// How to look at the maps' surfaces.
    pub(crate) fn of_surfaces(self) -> &'static str {
        match self {
            Self::Maps => {
                "Surfaces at one level for all maps, so that they can be compared; turn them by dragging, with the arrow keys, or all at once. Look for parts that one \
                 map has and another lacks, or that lie elsewhere. Suspicious: a map that hardly any particle is near to."
            }
            _ => {
                "Surfaces at one level for all states, so that they can be compared; turn them by dragging, with the arrow keys, or all at once. Look for parts that one \
                 state has and another lacks, or that lie elsewhere. Suspicious: a state of few particles with a broken map (often junk), and states that differ \
                 by noise alone."
            }
        }
    }

    /// How many particles a class has.
    pub(crate) fn of_size(self, particles: &str) -> String {
        if self == Self::Maps { format!("nearest to {particles} particles") } else { format!("{particles} particles") }
    }

    /// The last word.
    pub(crate) fn caution(self) -> &'static str {
        match self {
            Self::States => {
                "Volumes of states come from a network. Compare several contour levels, and refine a state's particles by themselves, before you believe a detail."
            }
            Self::Maps => {
                "Volumes come from a network, which draws a clean map of any point. Compare several contour levels, and refine particles near a map by themselves, \
                 before you believe a detail."
            }
            Self::Encoded | Self::Latents => {
                "Latents come from a network. Look at the states' maps, and refine a state's particles by themselves, before you believe a division."
            }
        }
    }
}
