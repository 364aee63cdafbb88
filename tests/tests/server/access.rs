//! Who may do what: every route against every role.
