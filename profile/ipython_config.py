"""IPython's settings of this profile; what the session does is in `startup/`."""

c = get_config()  # noqa: F821 - IPython puts it here

c.TerminalIPythonApp.display_banner = False
c.InteractiveShellApp.exec_PYTHONSTARTUP = False
