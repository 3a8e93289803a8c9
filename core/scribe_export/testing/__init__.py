"""The kit that proves a connector: ours and third parties' subclass the same contracts with fixtures only.

    sink_contract.SinkContract          what every sink keeps
    source_contract.SourceContract      what every source keeps
    scanner_contract.ScannerContract    what every scanner keeps
    memory                              a sink, a source and a scanner that live in this process and keep all of it
    flaky.FlakySink                     a sink that fails by script, for whoever tests a framework around sinks
    clock.SimulatedClock                time that passes when told to
    records                             small scans as a scanner makes them

The contracts need pytest; the rest does not.
"""
