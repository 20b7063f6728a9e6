//! Pictures as PNG: sheets of frames, and animations.

use crate::surface::Picture;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use contract::{Problem, Result};

/// Frames of one size, brightness and opacity in alternate bytes.
pub(crate) struct Frames {
    width_px: usize,
    height_px: usize,
    frames: Vec<Vec<u8>>,
}

impl Frames {
    /// Pictures of one size.
    pub(crate) fn of(pictures: &[Picture]) -> Self {
        let (height_px, width_px) = pictures.first().map_or((0, 0), ndarray::ArrayBase::dim);
        let bytes = |picture: &Picture| {
            picture.iter().flat_map(|p| p.map_or([0, 0], |brightness| [(brightness * 255.0).round() as u8, 255])).collect()
        };
        Self { width_px, height_px, frames: pictures.iter().map(bytes).collect() }
    }

    /// All frames one below the other, as one PNG.
    ///
    /// # Errors
    /// If there is no picture, or their sizes differ.
    pub(crate) fn strip(&self) -> Result<Vec<u8>> {
        encode(self.width_px, self.height_px * self.frames.len(), |mut encoder| {
            encoder.set_color(png::ColorType::GrayscaleAlpha);
            let mut writer = encoder.write_header()?;
            writer.write_image_data(&self.frames.concat())?;
            writer.finish()
        })
    }

    /// [`Frames::strip`] as a data URI.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn strip_uri(&self) -> Result<String> {
        Ok(format!("data:image/png;base64,{}", BASE64_STANDARD.encode(self.strip()?)))
    }

    /// The frames as an animated PNG that runs to its end and back for ever.
    ///
    /// # Errors
    /// As [`Frames::strip`].
    pub(crate) fn there_and_back(&self, milliseconds: u16) -> Result<Vec<u8>> {
        let back = (1..self.frames.len().saturating_sub(1)).rev();
        let order: Vec<&Vec<u8>> = (0..self.frames.len()).chain(back).map(|i| &self.frames[i]).collect();
        encode(self.width_px, self.height_px, |mut encoder| {
            encoder.set_color(png::ColorType::GrayscaleAlpha);
            encoder.set_animated(order.len() as u32, 0)?;
            encoder.set_frame_delay(milliseconds, 1000)?;
            encoder.set_dispose_op(png::DisposeOp::Background)?;
            let mut writer = encoder.write_header()?;
            for frame in order {
                writer.write_image_data(frame)?;
            }
            writer.finish()
        })
    }
}

fn encode(
    width: usize,
    height: usize,
    write: impl FnOnce(png::Encoder<'_, &mut Vec<u8>>) -> std::result::Result<(), png::EncodingError>,
) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    write(encoder).map_err(|e| Problem::failed(format!("a picture could not be made: {e}")))?;
    Ok(bytes)
}
