"""The factory line: board after board from blank to labelled, each step recorded.

steps       what is done to a unit, in order, and what a person does when a step fails
store       the record: SQLite in the batch's folder; serial numbers are given out here
batch       batch.toml: what a batch is made of
esptool     the flash of a chip, through esptool as a program of its own
contents    what a flash holds: an identity, a journal
run         one unit at one port, from wherever its record says
lanes       many ports side by side; `view` shows them
desk        one board at a developer's desk: `ks factory flash`, flash.sh
"""
