"""A stack's `Pulumi.<stack>.yaml` as it is written: with lines, and with what YAML makes of unquoted values.

The program gets the configuration from Pulumi, which has parsed it already: `0022` arrives as 18. So both the program
and the command read the file itself.
"""
