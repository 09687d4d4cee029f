//! Which process this is among how many: `RANK`, `WORLD_SIZE`, `LOCAL_RANK`, `MASTER_ADDR` and `MASTER_PORT`, which
//! torchrun sets, and a line of a Slurm script.

use crate::Error;

/// The place of a process among those that train a model together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Membership {
    /// The number of the process, from 0.
    pub rank: usize,
    /// The number of processes, 2 or more.
    pub size: usize,
    /// The number of the process among those of its machine.
    pub local_rank: usize,
    /// The number of processes on its machine, where that is known.
    pub local_size: Option<usize>,
    /// The machine of rank 0.
    pub host: String,
    /// Where rank 0 listens.
    pub port: u16,
}

impl Membership {
    /// What the environment says, if it says that there are several processes.
    ///
    /// # Errors
    /// A variable that is missing, or has no such value.
    pub fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Membership>, Error> {
        let Some(size) = number(&variable, "WORLD_SIZE", 1 << 16)? else {
            return Ok(None);
        };
        if size < 2 {
            return Ok(None);
        }
        let missing = |name: &str| {
            Error::Setting(format!(
                "WORLD_SIZE={size} says that {size} processes train together, but {name} is not set; set RANK, LOCAL_RANK, MASTER_ADDR and \
                 MASTER_PORT for each, as torchrun does, or unset WORLD_SIZE to train by one"
            ))
        };
        let rank = number(&variable, "RANK", size - 1)?.ok_or_else(|| missing("RANK"))?;
        let port = number(&variable, "MASTER_PORT", u16::MAX.into())?.ok_or_else(|| missing("MASTER_PORT"))?;
        // torchrun itself listens at MASTER_PORT then, for PyTorch.
        let is_taken = variable("TORCHELASTIC_USE_AGENT_STORE").is_some_and(|taken| taken == "True");
        Ok(Some(Membership {
            rank,
            size,
            local_rank: number(&variable, "LOCAL_RANK", size - 1)?.ok_or_else(|| missing("LOCAL_RANK"))?,
            local_size: number(&variable, "LOCAL_WORLD_SIZE", size)?,
            host: variable("MASTER_ADDR").ok_or_else(|| missing("MASTER_ADDR"))?,
            port: (port as u16).checked_add(is_taken.into()).unwrap_or(1 << 15),
        }))
    }
}

fn number(variable: impl Fn(&str) -> Option<String>, name: &str, most: usize) -> Result<Option<usize>, Error> {
    let Some(text) = variable(name) else {
        return Ok(None);
    };
    match text.parse() {
        Ok(number) if number <= most => Ok(Some(number)),
        _ => Err(Error::Setting(format!(
            "{name}={text} is in the environment, and must be a number from 0 to {most}; set it as torchrun does, or unset WORLD_SIZE to \
             train by one process"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOUR: [(&str, &str); 5] = [
        ("WORLD_SIZE", "4"),
        ("RANK", "3"),
        ("LOCAL_RANK", "1"),
        ("MASTER_ADDR", "node7"),
        ("MASTER_PORT", "29500"),
    ];

    fn read(variables: &[(&str, &str)]) -> Result<Option<Membership>, String> {
        // The last one counts.
        let find = |name: &str| variables.iter().rev().find(|(key, _)| *key == name);
        let value = |name: &str| find(name).map(|(_, value)| (*value).to_owned());
        Membership::of_environment(value).map_err(|error| error.to_string())
    }

    #[test]
    fn the_environment_says_who_one_is() {
        let third = Membership {
            rank: 3,
            size: 4,
            local_rank: 1,
            local_size: None,
            host: "node7".to_owned(),
            port: 29500,
        };
        assert_eq!(read(&FOUR), Ok(Some(third.clone())));
        let torchrun = [
            &FOUR[..],
            &[("LOCAL_WORLD_SIZE", "2"), ("TORCHELASTIC_USE_AGENT_STORE", "True")],
        ];
        let beside = Membership {
            local_size: Some(2),
            port: 29501,
            ..third
        };
        assert_eq!(read(&torchrun.concat()), Ok(Some(beside)));
        assert_eq!(read(&[]), Ok(None));
        // One process, whatever else is said.
        assert_eq!(read(&[("WORLD_SIZE", "1"), ("RANK", "x")]), Ok(None));
        assert_eq!(read(&[("RANK", "3")]), Ok(None));
    }

    #[test]
    fn what_is_missing_or_wrong_is_said() {
        for name in ["RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"] {
            let rest: Vec<_> = FOUR.into_iter().filter(|(key, _)| *key != name).collect();
            let error = read(&rest).unwrap_err();
            assert!(error.contains(&format!("{name} is not set")), "{error}");
        }
        for (name, value) in [
            ("RANK", "4"),
            ("RANK", "-1"),
            ("WORLD_SIZE", "many"),
            ("MASTER_PORT", "65536"),
        ] {
            let error = read(&[&FOUR[..], &[(name, value)]].concat()).unwrap_err();
            assert!(error.starts_with(&format!("{name}={value} ")), "{error}");
        }
    }
}
