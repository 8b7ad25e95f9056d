-- Addresses whose holders told us to stop: nothing is sent to them until they say otherwise.
CREATE TABLE oncall_opt_outs (
    channel TEXT NOT NULL,
    address TEXT NOT NULL,
    since   INTEGER NOT NULL,
    PRIMARY KEY (channel, address)
) STRICT, WITHOUT ROWID;
