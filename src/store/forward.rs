//! Passing calls on: for pointers to stores, and for wrappers that change only some calls.

use crate::env::Timestamp;
use crate::store::{ObjectInfo, ObjectKey, Store, StoreResult, Swept};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Inside `impl Store`, writes the named methods so that they call the same method of a field.
macro_rules! forward {
    ($field:ident: $($method:ident),+) => {
        $(crate::store::forward::forward!(@$method $field);)+
    };
    (@location $field:ident) => {
        fn location(&self) -> String {
            self.$field.location()
        }
    };
    (@put $field:ident) => {
        fn put(
            &self,
            key: &crate::store::ObjectKey,
            bytes: &[u8],
        ) -> crate::store::StoreResult<()> {
            self.$field.put(key, bytes)
        }
    };
    (@barrier $field:ident) => {
        fn barrier(&self) -> crate::store::StoreResult<()> {
            self.$field.barrier()
        }
    };
    (@get $field:ident) => {
        fn get(
            &self,
            key: &crate::store::ObjectKey,
            limit: usize,
        ) -> crate::store::StoreResult<Vec<u8>> {
            self.$field.get(key, limit)
        }
    };
    (@get_range $field:ident) => {
        fn get_range(
            &self,
            key: &crate::store::ObjectKey,
            offset: u64,
            buffer: &mut [u8],
        ) -> crate::store::StoreResult<()> {
            self.$field.get_range(key, offset, buffer)
        }
    };
    (@stat $field:ident) => {
        fn stat(
            &self,
            key: &crate::store::ObjectKey,
        ) -> crate::store::StoreResult<crate::store::ObjectInfo> {
            self.$field.stat(key)
        }
    };
    (@delete $field:ident) => {
        fn delete(&self, key: &crate::store::ObjectKey) -> crate::store::StoreResult<()> {
            self.$field.delete(key)
        }
    };
    (@list $field:ident) => {
        fn list(
            &self,
            prefix: &str,
            visit: &mut dyn FnMut(crate::store::ObjectInfo) -> std::ops::ControlFlow<()>,
        ) -> crate::store::StoreResult<()> {
            self.$field.list(prefix, visit)
        }
    };
    (@sweep $field:ident) => {
        fn sweep(
            &self,
            before: crate::env::Timestamp,
        ) -> crate::store::StoreResult<crate::store::Swept> {
            self.$field.sweep(before)
        }
    };
}
pub(in crate::store) use forward;

macro_rules! forward_pointer {
    ($pointer:ident) => {
        impl<S: Store + ?Sized> Store for $pointer<S> {
            fn location(&self) -> String {
                (**self).location()
            }

            fn put(&self, key: &ObjectKey, bytes: &[u8]) -> StoreResult<()> {
                (**self).put(key, bytes)
            }

            fn barrier(&self) -> StoreResult<()> {
                (**self).barrier()
            }

            fn get(&self, key: &ObjectKey, limit: usize) -> StoreResult<Vec<u8>> {
                (**self).get(key, limit)
            }

            fn get_range(
                &self,
                key: &ObjectKey,
                offset: u64,
                buffer: &mut [u8],
            ) -> StoreResult<()> {
                (**self).get_range(key, offset, buffer)
            }

            fn stat(&self, key: &ObjectKey) -> StoreResult<ObjectInfo> {
                (**self).stat(key)
            }

            fn delete(&self, key: &ObjectKey) -> StoreResult<()> {
                (**self).delete(key)
            }

            fn list(
                &self,
                prefix: &str,
                visit: &mut dyn FnMut(ObjectInfo) -> ControlFlow<()>,
            ) -> StoreResult<()> {
                (**self).list(prefix, visit)
            }

            fn sweep(&self, before: Timestamp) -> StoreResult<Swept> {
                (**self).sweep(before)
            }
        }
    };
}

forward_pointer!(Box);
forward_pointer!(Arc);
