//! Shared values are stored as if they were owned: a checkpoint does not show what is shared.

/// A list of shared values.
pub(super) mod list {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::sync::Arc;

    pub(in super::super) fn serialize<T: Serialize, S: Serializer>(
        values: &[Arc<T>],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(Arc::as_ref))
    }

    pub(in super::super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Arc<T>>, D::Error> {
        let values = Vec::deserialize(deserializer)?;
        Ok(values.into_iter().map(Arc::new).collect())
    }
}

/// A map of shared values.
pub(super) mod map {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::collections::BTreeMap;
    use std::sync::Arc;

    pub(in super::super) fn serialize<K: Serialize, T: Serialize, S: Serializer>(
        values: &BTreeMap<K, Arc<T>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(values.iter().map(|(key, value)| (key, value.as_ref())))
    }

    pub(in super::super) fn deserialize<'de, K, T, D>(
        deserializer: D,
    ) -> Result<BTreeMap<K, Arc<T>>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        T: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        let values = BTreeMap::<K, T>::deserialize(deserializer)?;
        let shared = values.into_iter();
        Ok(shared.map(|(key, value)| (key, Arc::new(value))).collect())
    }
}
