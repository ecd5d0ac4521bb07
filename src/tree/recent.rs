//! A bounded memory of what was decoded last.

use crate::id::BlobId;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The newest of some values, bounded by their weight.
#[derive(Debug)]
pub(crate) struct Recent<T> {
    values: HashMap<BlobId, (Arc<T>, u64, u64)>,
    /// By when they were last asked for.
    order: BTreeMap<u64, BlobId>,
    weight: u64,
    weight_max: u64,
    moment: u64,
}

impl<T> Recent<T> {
    /// Keeps values of up to `weight_max` together.
    pub(crate) fn new(weight_max: u64) -> Self {
        Self {
            values: HashMap::new(),
            order: BTreeMap::new(),
            weight: 0,
            weight_max,
            moment: 0,
        }
    }

    /// The value of a blob, if it is still kept.
    pub(crate) fn get(&mut self, id: &BlobId) -> Option<Arc<T>> {
        let (value, moment, _) = self.values.get_mut(id)?;
        self.order.remove(moment);
        self.moment += 1;
        *moment = self.moment;
        self.order.insert(self.moment, *id);
        Some(Arc::clone(value))
    }

    /// Keeps a value; the oldest make room for it.
    pub(crate) fn put(&mut self, id: BlobId, value: Arc<T>, weight: u64) {
        self.remove(&id);
        self.moment += 1;
        self.values.insert(id, (value, self.moment, weight));
        self.order.insert(self.moment, id);
        self.weight += weight;
        while self.weight > self.weight_max
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.remove(&oldest);
        }
    }

    fn remove(&mut self, id: &BlobId) {
        if let Some((_, moment, weight)) = self.values.remove(id) {
            self.order.remove(&moment);
            self.weight -= weight;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first() {
        let mut recent = Recent::new(3);
        for number in 0..3u8 {
            recent.put(BlobId([number; 32]), Arc::new(number), 1);
        }
        assert!(recent.get(&BlobId([0; 32])).is_some());
        recent.put(BlobId([3; 32]), Arc::new(3), 1);
        assert!(recent.get(&BlobId([1; 32])).is_none());
        assert!(recent.get(&BlobId([0; 32])).is_some());
        recent.put(BlobId([4; 32]), Arc::new(4), 3);
        assert_eq!(recent.values.len(), 1);
        assert_eq!(recent.order.len(), 1);
    }
}
