//! `qat` as a cell of a table: the settings are those of a recipe, the policy is the table's.

use std::path::Path;

use anyhow::Result;
use models::Network;
use quant::Policy;

use super::{QatArgs, TEACHER_IS_START};

impl QatArgs {
    /// The same under the policy of a table, checked before any cell is computed.
    ///
    /// # Errors
    /// Naming the setting that cannot be.
    pub(crate) fn in_table(self, policy: Policy, residual_bits: Option<u32>) -> Result<Self> {
        let args = Self { widths: self.widths.under(policy, residual_bits), ..self };
        args.post_training().check()?;
        args.without_teacher().check()?;
        Ok(args)
    }

    /// Refuses layers that `network` does not have, and a size that it cannot have.
    ///
    /// # Errors
    /// Naming the layer, or the least size.
    pub(crate) fn check_layers(&self, network: &Network) -> Result<()> {
        let recipe = self.post_training();
        recipe.check_layers(network)?;
        self.learn_bits.check_size(network, &recipe)
    }

    /// The files that it reads beside weights and data, each with its role.
    pub(crate) fn files(&self) -> Vec<(&'static str, &Path)> {
        let init = self.init.as_deref().map(|file| ("init", file));
        let teacher = self.teacher.as_deref().filter(|file| file.as_os_str() != TEACHER_IS_START);
        init.into_iter().chain(teacher.map(|file| ("teacher", file))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::exit;
    use crate::run::input::InputArgs;

    fn recipe(text: &str) -> QatArgs {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("qat_w4a4_mine.toml");
        std::fs::write(&file, format!("bits = \"W4A4\"\n{text}")).unwrap();
        QatArgs::of_recipe(&file, &InputArgs::default()).unwrap()
    }

    #[test]
    fn a_recipe_keeps_all_but_its_policy() {
        for policy in ["", "policy = \"course\"\n", "policy = \"product\"\n"] {
            let text = format!("{policy}method = \"symmetric\"\nepochs = 3\nlayer_bits = \"fc=8\"\n");
            for of_table in [Policy::Course, Policy::Product] {
                let args = recipe(&text).in_table(of_table, None).unwrap();
                assert_eq!(args.post_training().config().policy, of_table, "{text}");
                assert_eq!((args.epochs, args.widths.method.to_string().as_str()), (3, "symmetric"));
                assert_eq!(args.widths.layer_bits.map(|bits| bits.to_string()).as_deref(), Some("fc=8"));
            }
        }
        for (text, refused) in
            [("batch = 0\n", "--batch must be at least 1"), ("layer_bits = \"fc=9\"\n", "fc=9")]
        {
            let error = recipe(text).in_table(Policy::Course, None).unwrap_err();
            assert!(error.to_string().contains(refused) && exit::code(&error) == 2, "{error}");
        }
    }

    #[test]
    fn the_network_itself_is_no_file_to_learn_from() {
        let args = recipe("teacher = \"float\"\n");
        assert_eq!(args.files(), []);
        let args = recipe("init = \"a.pt\"\nteacher = \"b.pt\"\n");
        assert_eq!(args.files(), [("init", Path::new("a.pt")), ("teacher", Path::new("b.pt"))]);
    }
}
