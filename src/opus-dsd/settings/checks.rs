//! What can be told wrong before any particle is read, beyond the bounds that each option has by itself ([`super::form`]).

use super::said::TrainSaid;
use super::said::train::LEAST_TEMPLATE;
use contract::{Problem, Result};

impl TrainSaid {
    /// # Errors
    /// The first value that cannot be used.
    pub(crate) fn check(&self) -> Result<()> {
        if let Some(side) = self.templateres.filter(|t| t % LEAST_TEMPLATE as usize != 0) {
            return Err(Problem::input(format!("{side} is not a multiple of {LEAST_TEMPLATE}"))
                .at("`--templateres`")
                .hint("take 32, 48, 64, 96, 128, 160, 192 or 224"));
        }
        if let Some(name) = &self.tmp_prefix
            && (name.is_empty()
                || name.contains("None")
                || !name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
                || name.starts_with('.'))
        {
            return Err(Problem::input(format!("`{name}` is not a plain file name"))
                .at("`--tmp-prefix`")
                .hint("use letters, digits, dashes and underscores, and not the word None"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_cannot_be_used_are_named() {
        let cases = [
            (TrainSaid { templateres: Some(100), ..TrainSaid::default() }, "`--templateres`"),
            (TrainSaid { tmp_prefix: Some("a/None".into()), ..TrainSaid::default() }, "`--tmp-prefix`"),
        ];
        for (said, culprit) in cases {
            let problem = said.check().unwrap_err();
            assert_eq!(problem.culprit.as_deref(), Some(culprit));
            assert!(problem.hint.is_some());
        }
        assert_eq!(TrainSaid::default().check(), Ok(()));
    }
}
