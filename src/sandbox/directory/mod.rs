//! An in-process LDAP server that behaves like Active Directory.
