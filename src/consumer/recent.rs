//! A map that remembers what was used lately, in bounded memory.

use std::{collections::HashMap, hash::Hash, mem};

/// Keeps at least the last `bound` keys used and at most twice as many: when the young half is
/// full it becomes the old one, and what was old is forgotten.
#[derive(Debug)]
pub struct Recent<K, V> {
    bound: usize,
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Hash + Eq + Copy, V> Recent<K, V> {
    /// An empty map.
    pub fn new(bound: usize) -> Recent<K, V> {
        Recent { bound, young: HashMap::new(), old: HashMap::new() }
    }

    /// The value of a key, which counts as using it.
    pub fn get(&mut self, key: K) -> Option<&mut V> {
        if let Some(value) = self.old.remove(&key) {
            self.insert(key, value);
        }
        self.young.get_mut(&key)
    }

    /// Sets the value of a key.
    pub fn insert(&mut self, key: K, value: V) {
        self.old.remove(&key);
        if self.young.len() >= self.bound && !self.young.contains_key(&key) {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    /// Forgets a key.
    pub fn remove(&mut self, key: K) {
        self.young.remove(&key);
        self.old.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_used_within_its_bound() {
        let mut recent = Recent::new(10);
        for key in 0..1000 {
            recent.insert(key, key);
            recent.insert(key, key + 1);
            assert_eq!(recent.get(0).copied(), Some(1), "used all the time");
            assert!(recent.young.len() + recent.old.len() <= 20);
        }
        assert!((990..1000).all(|key| recent.get(key).is_some()));
        assert_eq!(recent.get(500), None);
        recent.remove(999);
        assert_eq!(recent.get(999), None);
    }
}
