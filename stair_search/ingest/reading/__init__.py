"""Reading a photo's content from where it lies: a disk, a web server, an object store.

`addresses` says which addresses may be read at all, `http` reads them. What goes wrong with one
photo is a `PhotoError`; no message holds a credential or a signed address.
"""
