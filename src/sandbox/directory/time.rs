//! The forms in which the directory tells times.

use jiff::Timestamp;

/// Seconds since 1970.
pub fn unix_now() -> i64 {
    Timestamp::now().as_second()
}

/// The time now as a FILETIME: 100 ns steps since 1601.
pub fn filetime_now() -> i64 {
    filetime(0) + Timestamp::now().as_microsecond() * 10
}

/// A time in seconds since 1970 as a FILETIME.
pub fn filetime(unix: i64) -> i64 {
    (unix + 11_644_473_600) * 10_000_000
}

/// GeneralizedTime as Active Directory writes it, `20260131235959.0Z`.
pub fn generalized_time(unix: i64) -> String {
    let time = Timestamp::from_second(unix).unwrap_or(Timestamp::UNIX_EPOCH);
    time.strftime("%Y%m%d%H%M%S.0Z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_form_of_the_schema() {
        assert_eq!(generalized_time(0), "19700101000000.0Z");
        assert_eq!(generalized_time(1_769_903_999), "20260131235959.0Z");
        assert_eq!(filetime(0), 116_444_736_000_000_000);
    }
}
