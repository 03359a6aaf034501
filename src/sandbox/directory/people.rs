//! Invented people, the same ones for the same seed.

use uuid::Uuid;

use super::{add::NEVER, object::Values, schema::Attr, time};

/// Given names with their spelling in an account name.
const GIVEN: &[(&str, &str)] = &[
    ("Anna", "anna"),
    ("Ben", "ben"),
    ("Chloé", "chloe"),
    ("Daniel", "daniel"),
    ("Elif", "elif"),
    ("Finn", "finn"),
    ("Grace", "grace"),
    ("Hugo", "hugo"),
    ("Ines", "ines"),
    ("Jonas", "jonas"),
    ("Karin", "karin"),
    ("Luca", "luca"),
    ("Marta", "marta"),
    ("Noah", "noah"),
    ("Olga", "olga"),
    ("Pavel", "pavel"),
    ("Quentin", "quentin"),
    ("Renée", "renee"),
    ("Sofia", "sofia"),
    ("Tomás", "tomas"),
    ("Ulrike", "ulrike"),
    ("Viktor", "viktor"),
    ("Wanda", "wanda"),
    ("Xavier", "xavier"),
    ("Yara", "yara"),
    ("Zoltán", "zoltan"),
    ("Mary Ann", "mary-ann"),
    ("Søren", "soren"),
];

/// Surnames with their spelling in an account name.
const SURNAMES: &[(&str, &str)] = &[
    ("Almeida", "almeida"),
    ("Baker", "baker"),
    ("Costa", "costa"),
    ("Dubois", "dubois"),
    ("Eriksson", "eriksson"),
    ("Fischer", "fischer"),
    ("García", "garcia"),
    ("Hansen", "hansen"),
    ("Ivanova", "ivanova"),
    ("Jansen", "jansen"),
    ("Kowalski", "kowalski"),
    ("Lefèvre", "lefevre"),
    ("Müller", "mueller"),
    ("Novák", "novak"),
    ("O'Brien", "obrien"),
    ("Petrov", "petrov"),
    ("Quinn", "quinn"),
    ("Rossi", "rossi"),
    ("Schmidt", "schmidt"),
    ("Taylor", "taylor"),
    ("Usman", "usman"),
    ("van Dijk", "vandijk"),
    ("Weber", "weber"),
    ("Yılmaz", "yilmaz"),
    ("Zhang", "zhang"),
    ("Smith-Jones", "smith-jones"),
];

/// Departments, each with the titles it has.
const DEPARTMENTS: &[(&str, &[&str])] = &[
    ("Engineering", &["Engineer", "Senior Engineer", "Engineering Manager"]),
    ("Finance", &["Accountant", "Controller", "Treasurer"]),
    ("Human Resources", &["Recruiter", "HR Partner"]),
    ("Legal", &["Counsel", "Paralegal"]),
    ("Marketing", &["Designer", "Campaign Manager"]),
    ("Operations", &["Planner", "Shift Lead"]),
    ("Research", &["Scientist", "Lab Technician"]),
    ("Sales", &["Account Executive", "Sales Director"]),
];

/// Cities with an office: name, telephone prefix, country code.
pub const OFFICES: &[(&str, &str, &str)] = &[
    ("Berlin", "+49 30 5550", "DE"),
    ("Leeds", "+44 113 496", "GB"),
    ("Lyon", "+33 4 6555", "FR"),
    ("Madrid", "+34 91 555", "ES"),
];

/// 2026-01-01, before which the invented passwords were set.
const PASSWORDS_BEFORE: i64 = 1_767_225_600;

/// A small generator of repeatable numbers (splitmix64).
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[(self.roll() % choices.len() as u64) as usize]
    }

    /// A GUID that looks like a random one.
    pub fn guid(&mut self) -> Uuid {
        let bytes = (u128::from(self.roll()) << 64 | u128::from(self.roll())).to_be_bytes();
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }
}

/// A generated user.
#[derive(Debug)]
pub struct Person {
    /// The department's place in the list, which also has a group.
    pub department: usize,
    /// The office's place in the list, which also has an OU.
    pub office: usize,
    /// Everything to store.
    pub fields: Vec<(Attr, Values)>,
}

/// The names of the departments.
pub fn departments() -> impl Iterator<Item = &'static str> {
    DEPARTMENTS.iter().map(|(name, _)| *name)
}

/// The person with this number, in a domain with this DNS name.
pub fn person(dice: &mut Dice, number: usize, dns: &str) -> Person {
    let (given, given_plain) = *dice.pick(GIVEN);
    let (surname, surname_plain) = *dice.pick(SURNAMES);
    let department = dice.roll() as usize % DEPARTMENTS.len();
    let office = dice.roll() as usize % OFFICES.len();
    let (department_name, titles) = DEPARTMENTS[department];
    let (city, prefix, country) = OFFICES[office];
    let address = format!("{given_plain}.{surname_plain}{number}@{dns}");
    let initials = [given_plain, surname_plain].map(|name| &name[..1]).concat();
    let last_set = PASSWORDS_BEFORE - (dice.roll() % (60 * 86_400)) as i64;
    let texts = [
        // Unique among all by its number.
        (Attr::Name, format!("{given} {surname} {number}")),
        (Attr::GivenName, given.to_owned()),
        (Attr::Sn, surname.to_owned()),
        (Attr::DisplayName, format!("{given} {surname}")),
        (Attr::Title, (*dice.pick(titles)).to_owned()),
        (Attr::Department, department_name.to_owned()),
        (Attr::Office, city.to_owned()),
        (Attr::CountryCodeIso, country.to_owned()),
        (Attr::TelephoneNumber, format!("{prefix} {:04}", dice.roll() % 10_000)),
        (Attr::Mail, address.clone()),
        (Attr::UserPrincipalName, address),
        (Attr::EmployeeId, format!("E{number:07}")),
        (Attr::SamAccountName, format!("{initials}{number:06}")),
        (Attr::UserAccountControl, "512".to_owned()),
        // Both zero and the largest number mean never, and both are found in the field.
        (Attr::AccountExpires, if number.is_multiple_of(3) { "0" } else { NEVER }.to_owned()),
        (Attr::PwdLastSet, time::filetime(last_set).to_string()),
        (Attr::PrimaryGroupId, "513".to_owned()),
    ];
    let mut fields: Vec<(Attr, Values)> =
        texts.into_iter().map(|(attr, text)| (attr, vec![text.into_bytes()])).collect();
    fields.push((Attr::UnicodePwd, Values::new()));
    fields.push((Attr::SupplementalCredentials, Values::new()));
    Person { department, office, fields }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn people_repeat_for_a_seed_and_stay_within_limits() {
        let crowd = |seed| {
            let mut dice = Dice::new(seed);
            (1..500).map(|n| format!("{:?}", person(&mut dice, n, "x"))).collect::<Vec<_>>()
        };
        assert_eq!(crowd(1), crowd(1));
        assert_ne!(crowd(1), crowd(2));
    }

    #[test]
    fn account_names_are_plain_and_short_enough_for_a_million() {
        for (_, plain) in GIVEN.iter().chain(SURNAMES) {
            assert!(plain.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{plain}");
        }
        let person = person(&mut Dice::new(1), 1_000_000, "corp.example");
        let (_, sam) = person.fields.iter().find(|(a, _)| *a == Attr::SamAccountName).unwrap();
        assert!(sam[0].len() <= 20);
    }
}
