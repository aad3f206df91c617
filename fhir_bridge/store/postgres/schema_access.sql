-- What is neither an entry of the journal nor folded from it. All gateways of an installation share it.
CREATE TABLE installation (     -- 'namespace': the secret under which ids are made (FOLD 10)
    name text COLLATE "C" PRIMARY KEY,
    value text NOT NULL
);
