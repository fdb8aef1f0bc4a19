//! The machine that a run ran on.

use std::fs;

use serde::{Deserialize, Serialize};

use crate::run::context::Context;

/// Processor, instruction sets, threads, system, version.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// As it names itself.
    pub processor: String,
    /// Hardware threads there are.
    pub cores: usize,
    /// Threads used.
    pub threads: usize,
    /// Instruction set of the float kernels.
    pub float_isa: String,
    /// Instruction set of the integer kernels.
    pub integer_isa: String,
    /// `linux x86_64`.
    pub system: String,
    /// Of this program.
    pub version: String,
}

impl Machine {
    /// This one.
    pub fn here(context: &Context) -> Self {
        Self {
            processor: processor(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            threads: context.threads,
            float_isa: engine::kernel::Isa::active().name().to_owned(),
            integer_isa: quant::kernel::active().isa.to_owned(),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// In a line.
    pub fn describe(&self) -> String {
        let Self { processor, cores, threads, float_isa, integer_isa, system, version } = self;
        format!(
            "{processor}, {cores} hardware threads ({threads} used), {system}; floats on {float_isa}, integers on {integer_isa}; version {version}"
        )
    }
}

/// The name in the text of `/proc/cpuinfo`, else the architecture.
fn processor(cpuinfo: &str) -> String {
    let field = |name: &str| {
        cpuinfo.lines().find_map(|line| Some(line.strip_prefix(name)?.split_once(':')?.1.trim().to_owned()))
    };
    let name = field("model name").filter(|name| !name.is_empty());
    name.unwrap_or_else(|| format!("{} processor", std::env::consts::ARCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_names_itself_or_its_kind() {
        assert_eq!(processor("vendor_id\t: X\nmodel name\t: Fast CPU @ 3 GHz\n"), "Fast CPU @ 3 GHz");
        assert!(processor("").ends_with(" processor"));
    }
}
