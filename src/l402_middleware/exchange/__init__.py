"""One request and its answer, as a state machine.

The rule of this room: no I/O, no framework, no clock. `states` is the whole machine as data: what is not in its table
cannot happen. `Exchange` walks it for one request. It is told what happens (a sale was found, the answer's head is
there, a piece, its end, the client left), and gives back what to do as a value (send this, settle first, cut off).
Where the ledger has to be asked, that value is a flow, and whoever translates for a server drives it.
"""
