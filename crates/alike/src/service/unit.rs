//! The unit of a config, as text: what systemd is to start, and what it is to forbid.

use std::path::{Path, PathBuf};

use super::listening;
use super::places::Places;
use super::words::{self, Unwritable};
use crate::config::{Config, Hooks};

/// The first words of each unit that alike writes; a unit without them is somebody else's.
pub(super) const OURS: &str = "# Written by \"alike service\"";

/// Whose systemd it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// That of the machine.
    System,
    /// That of one user.
    User,
}

/// What the unit starts, and in what surroundings.
pub(super) struct Start {
    pub(super) program: PathBuf,
    pub(super) config: PathBuf,
    /// Variables that alike would otherwise lack, or have with another value.
    pub(super) environment: Vec<(&'static str, PathBuf)>,
    /// systemd 253 and later wait for the end of a reload.
    pub(super) waits_for_reload: bool,
}

/// Which addresses the processes of the service may speak to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Network {
    /// None; where there is a page, systemd listens for it.
    None,
    /// For hooks all: they may have names to look up.
    Hooks,
}

impl Network {
    pub(super) fn of(config: &Config) -> Self {
        let mut all = config.jobs.iter().flat_map(|job| programs(&job.hooks));
        if all.any(|program| !is_beside(program)) { Self::Hooks } else { Self::None }
    }

    const fn lines(self) -> &'static str {
        match self {
            Self::None => {
                "\
# No hook runs in here, and for a page systemd listens: nothing but sockets of this machine's files, for alike status and systemd.
RestrictAddressFamilies=AF_UNIX
PrivateNetwork=yes
IPAddressDeny=any
"
            }
            Self::Hooks => {
                "\
# For hooks, which may send something somewhere. A hook that is started by systemd-run needs none of this: then it is not here.
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
"
            }
        }
    }
}

fn programs(hooks: &Hooks) -> impl Iterator<Item = &str> {
    let all = [&hooks.on_change, &hooks.on_halt, &hooks.on_error, &hooks.on_recovered];
    all.into_iter().flatten().filter_map(|words| words.first()).map(String::as_str)
}

/// A hook that systemd itself runs, beside the service and not in it.
fn is_beside(program: &str) -> bool {
    Path::new(program).file_name().is_some_and(|name| name == "systemd-run")
}

/// The unit of the service.
///
/// # Errors
/// When a path cannot be written into a unit file.
pub(super) fn unit(of: For, start: &Start, config: &Config, places: &Places) -> Result<String, Unwritable> {
    let mut unit = format!(
        "{OURS} from {}.\n\
         # Its next run writes it anew; it is due when the config gets other replicas, hooks or another page. Changes of your own\n\
         # go into: systemctl {}edit alike\n\n",
        words::listed("", &start.config)?,
        if of == For::User { "--user " } else { "" },
    );
    unit.push_str("[Unit]\nDescription=alike: keeps replicas identical to their sources\n");
    unit.push_str("Documentation=man:alike(1) man:alike.toml(5)\n");
    if of == For::System {
        after(&mut unit, config, places);
    }
    unit.push_str("\n[Service]\n");
    if listening::address(of, config)?.is_some() {
        unit.push_str(listening::BESIDE);
    }
    service(&mut unit, start)?;
    match of {
        For::System => system(&mut unit, config, places)?,
        For::User => unit.push_str(FOR_A_USER),
    }
    let target = if of == For::System { "multi-user.target" } else { "default.target" };
    unit.push_str(&format!("\n[Install]\nWantedBy={target}\n"));
    Ok(unit)
}

fn after(unit: &mut String, config: &Config, places: &Places) {
    unit.push_str("After=local-fs.target remote-fs.target\n");
    if Network::of(config) == Network::Hooks {
        unit.push_str("After=network-online.target\nWants=network-online.target\n");
    }
    if places.after.is_empty() {
        return;
    }
    unit.push_str("# Drives are waited for and not insisted on: without one, the other jobs run, and its job goes on when it is there.\n");
    places.after.iter().for_each(|path| unit.push_str(&format!("After={}\n", words::mount_unit(path))));
    places.wants.iter().for_each(|path| unit.push_str(&format!("Wants={}\n", words::mount_unit(path))));
}

fn service(unit: &mut String, start: &Start) -> Result<(), Unwritable> {
    match start.waits_for_reload {
        true => unit.push_str("Type=notify-reload\n"),
        false => {
            unit.push_str("# Of systemd 253 and later: Type=notify-reload\nType=notify\nExecReload=/bin/kill -HUP $MAINPID\n");
        }
    }
    for (name, value) in &start.environment {
        unit.push_str(&format!("Environment={}\n", words::variable(name, value)?));
    }
    let (program, config) = (words::argument(&start.program)?, words::argument(&start.config)?);
    unit.push_str(&format!("ExecStart={program} up -c {config}\n"));
    unit.push_str(AT_WORK);
    Ok(())
}

const AT_WORK: &str = "\
WatchdogSec=5min
TimeoutStopSec=60
# 1: stopped as it was told, while some replica differed; 2: the config is wrong, and will be so the next time.
SuccessExitStatus=1
Restart=on-failure
RestartSec=10
RestartPreventExitStatus=2

# It may wait for those who work.
Nice=10
IOSchedulingClass=best-effort
IOSchedulingPriority=7
LimitNOFILE=524288
TasksMax=4096
UMask=0077
";

/// What a user's systemd can do without rights of its own: nothing that needs a view of the files apart.
const FOR_A_USER: &str = "
NoNewPrivileges=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictRealtime=yes
RestrictNamespaces=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service landlock_create_ruleset landlock_add_rule landlock_restrict_self
SystemCallErrorNumber=EPERM
";

fn system(unit: &mut String, config: &Config, places: &Places) -> Result<(), Unwritable> {
    unit.push_str(
        "\n# What may be written: state, control socket, and what the config names. (With Landlock alike says the same to the\n\
         # kernel, for each job.) A drive is named as a whole, and what is mounted later is seen: a folder on it that is named\n\
         # alone would keep it mounted here when it is unmounted everywhere else. What is not there is left out (-).\n\
         ProtectSystem=strict\nProtectHome=read-only\nPrivateMounts=yes\n\
         StateDirectory=alike\nStateDirectoryMode=0700\nRuntimeDirectory=alike\nRuntimeDirectoryMode=0700\n",
    );
    for (missing, named) in &places.wide {
        let (missing, named) = (words::listed("", missing)?, words::listed("", named)?);
        unit.push_str(&format!(
            "# {missing} is not there yet: so all of {named} until this is written anew.\n"
        ));
    }
    for path in &places.writable {
        unit.push_str(&format!("ReadWritePaths={}\n", words::listed("-", path)?));
    }
    if places.needs_tmp {
        unit.push_str("# Not private, for the config has folders in there.\nPrivateTmp=no\n");
    } else {
        unit.push_str("PrivateTmp=yes\n");
    }
    let special = config.jobs.iter().any(|job| !job.mirror.pass.no_special);
    unit.push_str(RIGHTS);
    unit.push_str(if special { WITH_DEVICES } else { WITHOUT_DEVICES });
    unit.push_str("\n# What a mirror has nothing to do with.\n");
    unit.push_str(Network::of(config).lines());
    unit.push_str(NOT_ITS_BUSINESS);
    unit.push_str(&calls(config));
    Ok(())
}

const RIGHTS: &str = "
# Which rights of root are needed, and for what.
#   CAP_DAC_READ_SEARCH  reads what others own, and gives a nameless file its name in one call
#   CAP_DAC_OVERRIDE     writes into folders of others on the replica
#   CAP_CHOWN            gives copies their owner
#   CAP_FOWNER           sets mode, times and ACLs of what others own, and reads without leaving an access time
#   CAP_FSETID           keeps set-id bits of what others own
#   CAP_SETFCAP          copies file capabilities
#   CAP_LEASE            learns who opens a file of others while it is copied
CapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_DAC_OVERRIDE CAP_CHOWN CAP_FOWNER CAP_FSETID CAP_SETFCAP CAP_LEASE
NoNewPrivileges=yes
";

const WITH_DEVICES: &str = "\
# Device nodes are copied: they may be made, none may be opened but /dev/null and its like. (no_special = true in all jobs
# spares it.) RestrictSUIDSGID= would forbid to copy set-id bits.
CapabilityBoundingSet=CAP_MKNOD
DevicePolicy=closed
DeviceAllow=char-* m
DeviceAllow=block-* m
";

const WITHOUT_DEVICES: &str = "\
# RestrictSUIDSGID= would forbid to copy set-id bits.
PrivateDevices=yes
DevicePolicy=closed
";

const NOT_ITS_BUSINESS: &str = "\
PrivateIPC=yes
ProtectProc=invisible
ProcSubset=pid
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictNamespaces=yes
RestrictRealtime=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
KeyringMode=private
SystemCallArchitectures=native
SystemCallFilter=@system-service landlock_create_ruleset landlock_add_rule landlock_restrict_self
SystemCallErrorNumber=EPERM
";

/// What is taken from the system calls of a service.
fn calls(config: &Config) -> String {
    let mut sets = vec!["@setuid", "@keyring", "@memlock", "@aio"];
    // Pipes are among them, and a hook is told through one.
    if config.jobs.iter().all(|job| programs(&job.hooks).next().is_none()) {
        sets.push("@ipc");
    }
    // A scrub stands back behind all others.
    if config.jobs.iter().all(|job| job.mirror.scrub.is_none()) {
        sets.push("@resources");
    }
    format!("SystemCallFilter=~{}\n", sets.join(" "))
}
