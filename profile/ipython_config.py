"""IPython's settings of this profile; what the session does is in `startup/`."""

c = get_config()

c.TerminalIPythonApp.display_banner = False
c.InteractiveShellApp.exec_PYTHONSTARTUP = False
