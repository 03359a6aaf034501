//! Fills a new directory: the objects every domain has, then invented users and groups.

use super::{
    Options,
    add::NEVER,
    object::{Object, Slot, Values},
    password,
    people::{self, Dice, OFFICES},
    schema::{Attr, Class},
    sid::Sid,
    store::{DOMAIN, Domain, Store},
    time,
};

/// Of the first users, one in ten is a member of its department's group.
const MEMBERS_AMONG: usize = 20_000;
/// One computer per so many users, up to a limit.
const USERS_PER_COMPUTER: usize = 20;
const MAX_COMPUTERS: usize = 500;

/// Where the well-known objects are.
#[derive(Debug, Clone, Copy)]
pub struct Landmarks {
    /// The account that may change everything.
    pub administrator: Slot,
    /// The account of the relay.
    pub service: Slot,
    /// What `dsServiceName` names.
    pub ntds_settings: Slot,
}

/// The sAMAccountName of the relay's account.
pub const SERVICE: &str = "svc-relay";
/// The sAMAccountName of the account that may change everything.
pub const ADMINISTRATOR: &str = "Administrator";

struct Filler {
    store: Store,
    dice: Dice,
    now: i64,
}

/// A directory as the options want it. `None` when the base DN is not one of a domain.
pub fn populate(options: &Options) -> Option<(Store, Landmarks)> {
    let mut dice = Dice::new(options.seed);
    let sid = Sid::domain([(); 3].map(|()| dice.roll() as u32));
    let store = Store::new(Domain::new(&options.base_dn, sid)?);
    let mut filler = Filler { store, dice, now: time::unix_now() };
    filler.domain();
    let ntds_settings = filler.configuration();
    let users = filler.container(DOMAIN, Class::Container, "Users");
    filler.container(DOMAIN, Class::Container, "Computers");
    filler.deleted_objects();
    let administrator = filler.built_in(users);
    let accounts = filler.container(DOMAIN, Class::OrganizationalUnit, "Service Accounts");
    let service = filler.service_account(accounts);
    filler.staff(options.users);
    let mut passwords = |slot, password: &str| {
        filler.store.passwords.insert(slot, password::digest(password));
    };
    passwords(administrator, &options.administrator_password);
    passwords(service, &options.service_password);
    Some((filler.store, Landmarks { administrator, service, ntds_settings }))
}

impl Filler {
    fn add(
        &mut self,
        parent: Slot,
        class: Class,
        rid: u32,
        name: &str,
        texts: &[(Attr, &str)],
    ) -> Slot {
        let mut fields: Vec<(Attr, Values)> =
            texts.iter().map(|(attr, text)| (*attr, vec![text.as_bytes().to_vec()])).collect();
        fields.push((Attr::Name, vec![name.as_bytes().to_vec()]));
        self.insert(parent, class, rid, fields)
    }

    fn insert(
        &mut self,
        parent: Slot,
        class: Class,
        rid: u32,
        fields: Vec<(Attr, Values)>,
    ) -> Slot {
        let usn = self.store.next_usn();
        let mut object = Object::new(class, parent, self.dice.guid(), usn, self.now);
        object.rid = rid;
        self.store.insert(object, fields)
    }

    fn container(&mut self, parent: Slot, class: Class, name: &str) -> Slot {
        self.add(parent, class, 0, name, &[])
    }

    fn account(&mut self, parent: Slot, rid: u32, name: &str, control: &str) -> Slot {
        let upn = format!("{name}@{}", self.store.domain.dns);
        let set = time::filetime(self.now).to_string();
        let mut texts = vec![
            (Attr::SamAccountName, name),
            (Attr::UserAccountControl, control),
            (Attr::AccountExpires, NEVER),
            (Attr::PwdLastSet, &set),
            (Attr::PrimaryGroupId, "513"),
            (Attr::UnicodePwd, ""),
            (Attr::SupplementalCredentials, ""),
        ];
        // The built-in accounts have no explicit UPN.
        if rid > 1_000 {
            texts.push((Attr::UserPrincipalName, &upn));
        }
        self.add(parent, Class::User, rid, name, &texts)
    }

    fn domain(&mut self) {
        let name = self.store.domain.netbios.to_lowercase();
        // Passwords never grow old, so what is generated stays usable.
        let policy = [
            (Attr::MaxPwdAge, "-9223372036854775808"),
            (Attr::MinPwdLength, "7"),
            (Attr::LockoutDuration, "-18000000000"),
            (Attr::LockoutThreshold, "0"),
        ];
        self.add(DOMAIN, Class::Domain, 0, &name, &policy);
    }

    /// The part of the configuration that tells which domain controller this is.
    fn configuration(&mut self) -> Slot {
        let head = self.container(DOMAIN, Class::Configuration, "Configuration");
        let sites = self.container(head, Class::Container, "Sites");
        let site = self.container(sites, Class::Container, "Default-First-Site-Name");
        let servers = self.container(site, Class::Container, "Servers");
        let server = self.container(servers, Class::Server, "DC1");
        let invocation = self.store.invocation.to_bytes_le().to_vec();
        let fields = vec![
            (Attr::Name, vec![b"NTDS Settings".to_vec()]),
            (Attr::InvocationId, vec![invocation]),
        ];
        self.insert(server, Class::NtdsSettings, 0, fields)
    }

    fn deleted_objects(&mut self) {
        let marked = [(Attr::IsDeleted, "TRUE")];
        let slot = self.add(DOMAIN, Class::Container, 0, "Deleted Objects", &marked);
        self.store.deleted_objects = slot;
        self.store.update(slot, self.now, |object, _| object.deleted = true);
    }

    fn built_in(&mut self, users: Slot) -> Slot {
        let administrator = self.account(users, 500, ADMINISTRATOR, "66048");
        self.account(users, 501, "Guest", "66082");
        self.account(users, 502, "krbtgt", "514");
        let admins = self.group(users, 512, "Domain Admins");
        self.group(users, 513, "Domain Users");
        self.group(users, 515, "Domain Computers");
        self.join(admins, administrator);
        let controllers = self.container(DOMAIN, Class::OrganizationalUnit, "Domain Controllers");
        self.computer(controllers, 1_000, "DC1", "532480");
        administrator
    }

    fn service_account(&mut self, parent: Slot) -> Slot {
        let rid = self.store.next_rid();
        self.account(parent, rid, SERVICE, "66048")
    }

    fn group(&mut self, parent: Slot, rid: u32, name: &str) -> Slot {
        let texts = [(Attr::SamAccountName, name), (Attr::GroupType, "-2147483646")];
        self.add(parent, Class::Group, rid, name, &texts)
    }

    fn join(&mut self, group: Slot, member: Slot) {
        let usn = self.store.get(group).created;
        self.store.links.set(group, Attr::Member, member, true, usn);
    }

    fn computer(&mut self, parent: Slot, rid: u32, name: &str, control: &str) {
        let (sam, host) = (format!("{name}$"), format!("{name}.{}", self.store.domain.dns));
        let texts = [
            (Attr::SamAccountName, &sam[..]),
            (Attr::DnsHostName, &host.to_lowercase()),
            (Attr::UserAccountControl, control),
            (Attr::OperatingSystem, "Windows 11 Enterprise"),
            (Attr::PwdLastSet, "0"),
            (Attr::AccountExpires, NEVER),
            (Attr::PrimaryGroupId, "515"),
        ];
        self.add(parent, Class::Computer, rid, name, &texts);
    }

    fn staff(&mut self, count: usize) {
        let unit = Class::OrganizationalUnit;
        let staff = self.container(DOMAIN, unit, "Staff");
        let offices: Vec<Slot> =
            OFFICES.iter().map(|(city, ..)| self.container(staff, unit, city)).collect();
        let groups = self.container(DOMAIN, unit, "Groups");
        let departments: Vec<Slot> = people::departments()
            .map(|name| {
                let rid = self.store.next_rid();
                self.group(groups, rid, name)
            })
            .collect();
        let workstations = self.container(DOMAIN, unit, "Workstations");
        for number in 1..=(count / USERS_PER_COMPUTER).min(MAX_COMPUTERS) {
            let rid = self.store.next_rid();
            self.computer(workstations, rid, &format!("WS-{number:04}"), "4096");
        }
        let dns = self.store.domain.dns.clone();
        for number in 1..=count {
            let person = people::person(&mut self.dice, number, &dns);
            let rid = self.store.next_rid();
            let slot = self.insert(offices[person.office], Class::User, rid, person.fields);
            if number % 10 == 1 && number < MEMBERS_AMONG {
                self.join(departments[person.department], slot);
            }
        }
    }
}
