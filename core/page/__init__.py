"""A page in the browser that does what the command line does, and live: `python -m core.page`.

`settings` has the bounds, `guard` who may speak to it, `store` the uploads, `form` the options as a form, `jobs` the
queue of the machine, `animate` and `live` what a job does, `app` the addresses, `static` the page itself.
"""
