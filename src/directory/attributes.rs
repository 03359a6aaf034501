//! What Active Directory's attributes mean.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// `userAccountControl` bits (MS-ADTS 2.2.16).
pub mod uac {
    /// The account is disabled.
    pub const ACCOUNT_DISABLE: u32 = 0x2;
    /// An account of a user.
    pub const NORMAL_ACCOUNT: u32 = 0x200;
    /// An account that trusts another domain.
    pub const INTERDOMAIN_TRUST: u32 = 0x800;
    /// A member machine.
    pub const WORKSTATION_TRUST: u32 = 0x1000;
    /// A domain controller.
    pub const SERVER_TRUST: u32 = 0x2000;
    /// The password never expires, so nobody is asked to choose another one.
    pub const DONT_EXPIRE_PASSWORD: u32 = 0x10000;
    /// The user logs on by smart card only: the password is random.
    pub const SMARTCARD_REQUIRED: u32 = 0x40000;
}

/// Seconds from 1601-01-01 to 1970-01-01, both UTC.
const EPOCH_DIFFERENCE: i64 = 11_644_473_600;
/// Ticks of 100 nanoseconds in a second.
const TICKS: i64 = 10_000_000;

/// A FILETIME (MS-DTYP 2.3.3: 100-nanosecond ticks since 1601) as an instant; none if it lies
/// outside what can be represented.
pub fn from_filetime(ticks: i64) -> Option<Timestamp> {
    let seconds = ticks.div_euclid(TICKS).checked_sub(EPOCH_DIFFERENCE)?;
    Timestamp::new(seconds, (ticks.rem_euclid(TICKS) * 100) as i32).ok()
}

/// An instant as a FILETIME.
pub fn to_filetime(time: Timestamp) -> i64 {
    let ticks = (time.as_nanosecond() / 100) + i128::from(EPOCH_DIFFERENCE * TICKS);
    i64::try_from(ticks).unwrap_or(i64::MAX)
}

/// `YYYYMMDDHHMMSS[.fraction]Z` (RFC 4517 section 3.3.13, in the form that servers write).
pub fn generalized_time(value: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(value).ok()?.strip_suffix('Z')?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let time = DateTime::strptime("%Y%m%d%H%M%S", seconds).ok()?;
    let nanoseconds = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    let time = time.with().subsec_nanosecond(nanoseconds).build().ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// When an account ends, from `accountExpires` (MS-ADA1 2.2): 0 and the largest number both mean
/// never.
pub fn expiry(account_expires: i64) -> Option<Timestamp> {
    if account_expires == 0 || account_expires == i64::MAX {
        return None;
    }
    from_filetime(account_expires)
}

/// Until when an account is locked out, as a FILETIME: 0 where it is not, the largest number where
/// an administrator has to end it. `lockoutTime` alone does not tell, for nothing clears it when its
/// time is over; `lockoutDuration` of the domain is a negative length, or one that is not negative
/// where lockouts do not end by themselves (MS-ADA1, both attributes).
pub fn locked_until(lockout_time: i64, lockout_duration: i64) -> i64 {
    match (lockout_time, lockout_duration) {
        (..=0, _) => 0,
        (_, 0..) => i64::MAX,
        (time, length) => time.saturating_sub(length),
    }
}

/// Parses `userAccountControl`, which is printed as a signed number.
pub fn parse_uac(number: i64) -> u32 {
    number as u32
}

/// Whether an account of this `userAccountControl` belongs to a machine or a trust, not a person.
pub fn is_machine(control: u32) -> bool {
    control & (uac::INTERDOMAIN_TRUST | uac::WORKSTATION_TRUST | uac::SERVER_TRUST) != 0
}

/// A SID (MS-DTYP 2.4.2.2) in its string form `S-1-…`; none if the bytes are no SID.
pub fn sid_text(bytes: &[u8]) -> Option<String> {
    let (&[revision, count], rest) = bytes.split_first_chunk()?;
    let (authority, rest) = rest.split_at_checked(6)?;
    if revision != 1 || rest.len() != usize::from(count) * 4 {
        return None;
    }
    let authority = authority.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    let mut text = format!("S-1-{authority}");
    for part in rest.chunks_exact(4) {
        let part = u32::from_le_bytes([part[0], part[1], part[2], part[3]]);
        text.push_str(&format!("-{part}"));
    }
    Some(text)
}

/// The last part of a SID: the account within its domain.
pub fn rid(sid: &str) -> Option<u32> {
    sid.rsplit('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filetimes_are_instants() {
        assert_eq!(from_filetime(116_444_736_000_000_000), Some(Timestamp::UNIX_EPOCH));
        let text = from_filetime(133_485_408_000_000_001).expect("in range").to_string();
        assert_eq!(text, "2024-01-01T00:00:00.0000001Z");
        assert_eq!(to_filetime(text.parse().expect("a time")), 133_485_408_000_000_001);
        assert_eq!(from_filetime(i64::MAX), None);
        assert!(from_filetime(i64::MIN).is_none());
        assert_eq!(expiry(0), None);
        assert_eq!(expiry(i64::MAX), None);
        assert_eq!(expiry(116_444_736_000_000_000), Some(Timestamp::UNIX_EPOCH));
    }

    #[test]
    fn a_lockout_ends_by_itself_or_by_an_administrator() {
        assert_eq!(locked_until(0, -100), 0);
        assert_eq!(locked_until(50, -100), 150);
        assert_eq!(locked_until(50, 0), i64::MAX);
        assert_eq!(locked_until(50, i64::MIN), i64::MAX);
    }

    #[test]
    fn sids_are_read_or_refused() {
        let administrators = [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 32, 2, 0, 0];
        assert_eq!(sid_text(&administrators).as_deref(), Some("S-1-5-32-544"));
        assert_eq!(rid("S-1-5-32-544"), Some(544));
        for length in 0..administrators.len() {
            assert_eq!(sid_text(&administrators[..length]), None);
        }
        assert_eq!(sid_text(&[2, 0, 0, 0, 0, 0, 0, 5]), None);
    }

    #[test]
    fn machines_are_told_from_people() {
        assert!(!is_machine(parse_uac(512)));
        assert!(is_machine(parse_uac(4096)));
        assert!(is_machine(parse_uac(532_480)));
        assert_eq!(parse_uac(-2_147_483_136), 0x8000_0200);
    }

    #[test]
    fn times_that_are_none_are_refused() {
        let time = generalized_time(b"20240229235959Z").expect("a time");
        assert_eq!(time.to_string(), "2024-02-29T23:59:59Z");
        for text in ["", "Z", "20240230000000Z", "20240101000000", "20240101000000.xZ", "\u{e4}Z"] {
            assert_eq!(generalized_time(text.as_bytes()), None, "{text}");
        }
    }
}
